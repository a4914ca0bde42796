/* SPDX-License-Identifier: Apache-2.0 */
/* The options that several of qemu-img's commands have, besides those of machine_options.h. */
#ifndef INSTAR_HOST_CLI_IMAGE_NAMES_IMAGE_OPTIONS_H
#define INSTAR_HOST_CLI_IMAGE_NAMES_IMAGE_OPTIONS_H

#include <stdint.h>

#include "host/cli/image/names/secret.h"
#include "host/cli/machine_options.h"

/* More --object than encrypted images have keys. */
#define IMAGE_OBJECT_MAX 64u

struct image_options {
    struct machine_options machine;
    const char *objects[IMAGE_OBJECT_MAX]; /* --object */
    unsigned int object_count;
    char *hidden[IMAGE_OBJECT_MAX]; /* the same, by image_options_hide_objects, until they are taken */
    unsigned int hidden_count;
    const char *object_help; /* the text that --object asks for; the command is over then, as after --help */
    const char *format;      /* -f; NULL: not given */
    const char *source_cache;
    bool use_image_opts;
    struct secret_store secrets; /* what they are */
    const char *data_file; /* --data-file: what is written, where an image is changed, and may be read otherwise */
    bool force_share;
    const char *output; /* --output */
    bool want_json;     /* image_options_check sets it */
    bool is_quiet;
    bool want_progress;
    /* The error is one after which qemu-img points to its help. */
    bool show_hint;
};

/* Long options without a letter; a command's own codes start at IMAGE_OPTION_COMMAND_FIRST. */
enum {
    OPTION_OBJECT = OPTION_COMMAND_FIRST,
    OPTION_IMAGE_OPTS,
    OPTION_DATA_FILE,
    OPTION_OUTPUT,
    IMAGE_OPTION_COMMAND_FIRST,
};

/* For a command's array of options. "-h" is "--help". */
/* clang-format off */
#define IMAGE_OPTIONS                                       \
    {"object", required_argument, NULL, OPTION_OBJECT},     \
    {"image-opts", no_argument, NULL, OPTION_IMAGE_OPTS},   \
    {"data-file", required_argument, NULL, OPTION_DATA_FILE}, \
    BACKING_OPTION,                                         \
    MACHINE_OPTIONS,                                        \
    {NULL, 0, NULL, 0}
/* clang-format on */

/* Their part of a command's help; MACHINE_OPTIONS_HELP follows. */
extern const char image_options_help[];

/* The error of both -f and --image-opts. */
#define IMAGE_OPTS_CONFLICT "--image-opts and --format are mutually exclusive"

void image_options_init(struct image_options *options);

/* As options_next, with qemu-img's words. */
int image_options_next(struct image_options *options, int argc, char **argv, const char *letters,
                       const struct option *known, struct error *error);

/* Takes an option that is no command's own: f, p, q, T, U, h or one without a letter. */
bool image_options_take(struct image_options *options, int code, const char *value, struct error *error);

/* After all options, as qemu-img does it: checks values that several commands have. */
bool image_options_check(struct image_options *options, struct error *error);

/*
 * After all options: what --object says is no more among the arguments, which others can see, but where
 * image_options_take_objects finds it. Before another process is started, which takes its time. May be called twice.
 */
bool image_options_hide_objects(struct image_options *options, struct error *error);

/* Then, with their time limit: what --object says, also in files. */
bool image_options_take_objects(struct image_options *options, struct error *error);

/* In the end, however far it came: they are wiped. */
void image_options_drop_objects(struct image_options *options);

/* The error of a wrong number of arguments, after which there is a hint; false. */
#define image_options_fail(options, ...) (image_options_fail_fill(options, __VA_ARGS__), false)
void image_options_fail_fill(struct image_options *options, struct error *error, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* What follows an error of size_argument_parse. Who prints it begins a new line for the second part. */
#define SIZE_UNITS_FIRST "You may use k, M, G, T, P or E suffixes for"
#define SIZE_UNITS_SECOND "kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes."

/*
 * A number of bytes. `what` is what qemu-img calls it: "image size".
 */
bool size_argument_parse(const char *what, const char *text, uint64_t *ret_len, struct error *error);

/* A cache mode of -t or -T. */
struct cache_mode {
    bool is_direct; /* past the page cache */
    bool is_synced; /* on stable storage before the command ends */
};
bool cache_mode_parse(const char *text, struct cache_mode *ret_mode);

#endif
