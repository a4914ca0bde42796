/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file: the bytes of one device, as parsers see them. Everything above (formats, chains, operations) reaches
 * images only through files, so that it also runs natively, on a small replacement of this one (tests/native).
 *
 * Reading waits for its answer. What moves payload in bulk, many requests at once, is io.h.
 */
#ifndef INSTAR_GUEST_IMAGE_FILE_H
#define INSTAR_GUEST_IMAGE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"

struct virtio_blk;
struct file;

/* QEMU's limit for files and disks (BDRV_MAX_LENGTH): requests that end behind it fail there. */
#define FILE_END_MAX (INT64_MAX & ~((1ull << 30) - 1))

enum file_extent_kind {
    FILE_DATA,
    FILE_HOLE, /* reads as zeros, nothing is stored */
};

/*
 * What is to be seen instead of some of a file's bytes, as a log that was not replayed has them. The cache lays it over
 * what it reads. Payload does not go through it: a format whose payload may be there answers with other extents.
 */
struct file_overlay {
    /* Replaces what is to be replaced of `bytes`, which are those at `off` of the file. Does not use the cache. */
    bool (*apply)(const struct file_overlay *overlay, struct file *file, uint64_t off, uint8_t *bytes, size_t len,
                  struct error *error);
};

/* What a file is read by that is no device: the disk of another image (image_file.h). */
struct file_source {
    bool (*read)(struct file *file, uint64_t off, void *target, size_t len, struct error *error);
    bool (*extent)(struct file *file, uint64_t off, enum file_extent_kind *ret_kind, uint64_t *ret_len,
                   struct error *error);
};

struct file {
    const char *name;                   /* for errors: "device 3"; the host puts the path in its place */
    uint32_t device;                    /* its number in the machine */
    uint64_t len;                       /* bytes, exact */
    uint64_t start_off;                 /* bytes of the device before it, a multiple of 512 */
    uint64_t allocated_len;             /* bytes of storage that it takes; UINT64_MAX when the host cannot tell */
    bool is_resizable;                  /* io_set_len works: the file is the job's own */
    bool reads_as_zero;                 /* what was not written, that is, in a new file */
    bool takes_copies;                  /* io_copy works with it as the target */
    bool finds_zeros;                   /* io_find_zeros works */
    const struct file_overlay *overlay; /* NULL: none (cache_set_overlay) */
    const struct file_source *source;   /* NULL: it is a device, or a part of one; otherwise it is only read */
    struct virtio_blk *blk;             /* the device; NULL in a native build */
    void *state;                        /* of the implementation; of another image's disk, that of its file */
};

/*
 * Reads `len` bytes at `off` to any memory, and waits for them. What lies behind the end of the file reads as zeros,
 * as in QEMU: where that is an error, the format says so.
 */
MUST_CHECK bool file_read(struct file *file, uint64_t off, void *target, size_t len, struct error *error);

/* The extent of the file at `off`, which lies within the file: its kind and how far it goes from `off`. */
MUST_CHECK bool file_extent(struct file *file, uint64_t off, enum file_extent_kind *ret_kind, uint64_t *ret_len,
                            struct error *error);

#endif
