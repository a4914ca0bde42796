/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a user names an image: a path, "file:" and a path, "json:{...}", or with --image-opts "driver=...,...".
 * Only files are understood, and what QEMU calls protocols (nbd: and so on) is refused.
 */
#ifndef INSTAR_HOST_CLI_IMAGE_NAMES_IMAGE_NAME_H
#define INSTAR_HOST_CLI_IMAGE_NAMES_IMAGE_NAME_H

#include <stdbool.h>

#include "base/error.h"
#include "host/cli/image/names/image_window.h"
#include "host/cli/image/names/secret.h"

#define IMAGE_FORMAT_LEN 32u
/* Nodes over an image: parts of its disk, and images within it. */
#define IMAGE_LAYERS_MAX 4u
/* Images one behind the other that a user names at once. */
#define IMAGE_BEHIND_MAX 31u
/* What QEMU says before the problem of an image that is behind another one. */
#define IMAGE_BACKING_PROBLEM "Could not open backing file: "

/* A node over an image. */
struct image_layer {
    bool is_image; /* what is below is the file of an image; otherwise a part of its disk is seen, as a raw image */
    struct image_window window;    /* of a part */
    char format[IMAGE_FORMAT_LEN]; /* this and what follows: of an image, as in struct image_name */
    char key_secret[SECRET_ID_LEN];
    bool has_key_secret;
    char key_format[16];
    bool without_backing;
    struct image_name *backing;
};

struct image_name {
    const char *text;              /* as the user wrote it, for messages */
    char *path;                    /* of the file */
    bool is_path;                  /* it has no nodes: how it ends may tell the format, as in QEMU */
    char format[IMAGE_FORMAT_LEN]; /* for the guest; empty: probe */
    const char *shown_format;      /* what the user calls it, if that is something else: "file"; otherwise NULL */
    const char *file_driver;       /* "file", "host_device", if the user says which it is; otherwise NULL */
    char *data_file;               /* the path of an external data file, where the user names it; otherwise NULL */
    bool force_share;
    bool is_read_only; /* nothing is to be written to it */
    bool no_locks;
    char key_secret[SECRET_ID_LEN]; /* the id of the secret that opens it */
    char key_format[16];            /* encrypt.format; empty: not given */
    bool has_key_secret;
    bool without_backing;   /* "backing": null: whatever the image says of one */
    bool has_empty_backing; /* it was said as "", which QEMU would rather not have any more */
    bool is_direct;         /* past the page cache */
    struct image_window window;
    bool has_raw_file; /* a raw node without offset and size is between the image, or its window, and the file */
    struct image_layer layers[IMAGE_LAYERS_MAX]; /* over it: what is seen is the last one */
    unsigned int layer_count;
    struct image_name *header;  /* the file that its header is in, of its own; NULL: not given */
    struct image_name *backing; /* what is to be behind it, whatever the image says; NULL: not given */
    bool leaves_backing;        /* what is behind it is not opened: "backing" is not looked at, but for null, */
    char backing_key[64];       /* and this is the option of it that QEMU would tell of first; empty: none */
    char *node_names;           /* that the user gives, of all nodes: each with a newline behind it; NULL: none */
    unsigned int behind_count;  /* of images that it is behind */
};

/*
 * `format` is that of -f, NULL if there is none. On success the name is to be released. Errors have no place: who
 * prints them says that `text` could not be opened.
 */
bool image_name_parse(struct image_name *ret_name, const char *text, const char *format, struct error *error);
/* Of a file at a path, whatever that looks like. */
bool image_name_of_path(struct image_name *ret_name, const char *path, const char *format, struct error *error);
/* With --image-opts. */
bool image_name_parse_options(struct image_name *ret_name, const char *text, struct error *error);
/* Either, for who opens nothing behind the image: `backing_key` is what is left of a "backing" node. */
bool image_name_parse_alone(struct image_name *ret_name, const char *text, const char *format, bool is_options,
                            struct error *error);
void image_name_release(struct image_name *name);

/* Of an image whose header is in a file of its own, only that is wanted, in the place of the image. */
void image_name_choose_header(struct image_name *name);

/* The last one that is an image over an image; NULL: there is none. */
const struct image_layer *image_name_top_layer(const struct image_name *name);

/* Goes on to the next image that is named to be behind one of this name, in the file or within that; from NULL to the
 * first. NULL behind the last one. */
const struct image_name *image_name_next_behind(const struct image_name *name, const struct image_name *last);

/* False, with an error, for what is only read: a part of a file or a disk, and an image within another one. */
bool image_name_is_writable(const struct image_name *name, struct error *error);

/* The same for what the caller prints as it is: with the name that QEMU tells. */
bool image_name_is_target(const struct image_name *name, struct error *error);

/* The same for an image that is made. */
bool image_name_is_new(const struct image_name *name, struct error *error);

#endif
