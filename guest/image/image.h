/* SPDX-License-Identifier: Apache-2.0 */
/* An image: a file, or several, with a format that says what is where; and the image behind it, if it has one. */
#ifndef INSTAR_GUEST_IMAGE_IMAGE_H
#define INSTAR_GUEST_IMAGE_IMAGE_H

#include "guest/image/cache.h"
#include "guest/image/data_cipher.h"
#include "guest/image/format.h"
#include "guest/image/shard.h"
#include "guest/runtime/arena.h"

/* As many images in a chain as the host attaches devices for, and a bound for everything that walks one. */
#define IMAGE_CHAIN_MAX 200u

struct io;

/* What an image names a file for. */
enum image_file_use {
    IMAGE_FILE_BACKING,
    IMAGE_FILE_DATA,
    IMAGE_FILE_PART,      /* one of several that the image consists of, also to describe it */
    IMAGE_FILE_NEW_PARTS, /* the new ones of a resize_plan, which get their names; the first one comes */
};

/* What all images of a job share. */
struct image_environment {
    struct arena *arena;
    struct cache *cache;
    struct io *io; /* for long tables; set while an operation runs */
    /*
     * Opens the file that `referrer` calls `name`: asks the host. In *ret_file comes a file from the arena, which can
     * be written to when it is the data file of an image that is changed. On refusal *error has the host's kind.
     */
    bool (*open_file)(struct image_environment *environment, struct span name, const struct file *referrer,
                      enum image_file_use use, struct file **ret_file, struct error *error);
    /* Of the job: secrets by their ids, which keys are made of, and ticks of platform_ticks in a millisecond (0:
     * unknown). */
    const instar_Secret *secrets;
    uint32_t secret_count;
    uint32_t ticks_khz;
    struct arena *key_arena; /* memory that keys are made in: much of it, where the job has that; else `arena` */
    void *context;           /* of open_file */
    bool leads_nowhere;      /* the host opens no file for this job: who asks ends it */
    bool salvages;           /* what lies behind a file's end is no reason to refuse the image: the rest is wanted */
};

/* Opening: for what. */
enum image_purpose {
    IMAGE_TO_DESCRIBE, /* info, create: data is not looked at, so a data file is not opened */
    IMAGE_TO_READ,
    IMAGE_TO_CHANGE, /* as to read, and target_open_image or format.resize follows; what is behind it is only read */
    IMAGE_TO_CHECK,  /* no data is looked at, and what a check tells about (a damaged table) is no reason to refuse */
    IMAGE_TO_REPAIR, /* likewise, nor is what a repair drops */
};

static inline bool image_purpose_is_check(enum image_purpose purpose)
{
    return purpose == IMAGE_TO_CHECK || purpose == IMAGE_TO_REPAIR;
}

/* What streams of compressed units are: those of one kind that make the same length may take each other's place. */
enum stream_kind {
    STREAM_KIND_OTHER, /* nobody may */
    STREAM_KIND_DEFLATE,
    STREAM_KIND_ZSTD,
};

/* What opens an encrypted image, as far as the user says it. */
struct image_key {
    const char *id;     /* of the secret; NULL: none is named */
    bool is_known;      /* there is one of that name */
    struct span secret; /* its bytes, which are gone when the job's operation is over */
    const char *format; /* encrypt.format; empty or NULL: not told */
};

struct image {
    const struct format *format;
    struct image_environment *environment;
    struct file *file;
    struct file *header_file; /* where its header is, if that has a file of its own; otherwise NULL */
    struct image *backing;    /* NULL: none, or not opened (image_open_chain) */
    enum image_purpose purpose;
    struct image_key key;
    bool is_probed;          /* nobody said which format it is */
    bool takes_shard;        /* it may be a part that is to be joined with others (shard.h) */
    bool backing_is_foreign; /* see format.accepts_backing */
    bool is_part;            /* of the disk of `backing`, from backing->part_off on (image_part.h) */
    uint64_t part_off;       /* bytes of its own disk before that of the first image of the chain, whose own is 0 */

    /* Set by the format's open. */
    uint64_t virtual_len;         /* bytes */
    uint32_t cluster_len;         /* bytes, 0: the format has no clusters */
    uint32_t unit_len_max;        /* of compressed extents; 0: all are cluster_len */
    uint32_t scratch_len;         /* bytes of memory that decompress needs for each vCPU */
    enum stream_kind stream_kind; /* of compressed extents; a format that has one counts */
    uint32_t stream_state_len;    /* and decompress_step for each unit, if unit_len_max is more than decompress makes */
    bool is_encrypted;
    const struct data_cipher *cipher; /* of EXTENT_ENCRYPTED; NULL: there is none, or no key was needed */
    bool can_have_bitmaps;            /* as far as its format and version go; then bitmap_next is there */
    bool has_dirty_flag;
    bool is_dirty;
    uint64_t further_allocated_len;  /* bytes of storage of the files that it has besides `file` */
    const struct image_shard *shard; /* which part of a disk it is; NULL: it is all of it */
    struct file_name backing_name;
    char backing_format[32]; /* empty: the image does not say */
    void *state;
};

struct image_setup {
    struct image_environment *environment;
    struct file *file;
    struct file *header_file; /* as in struct image */
    const char *format;       /* empty: probe, as qemu-img does */
    struct span name;         /* of the file, or its end, as far as it is known; for probing */
    enum image_purpose purpose;
    struct image_key key;
    bool takes_shard; /* false: what is only a part of an image (shard.h) is refused, as by QEMU */
};

/*
 * Opens one image, not what is behind it. A format that nobody knows is an ERROR_USAGE, in qemu-img's words: Unknown
 * driver 'xyz'.
 */
MUST_CHECK bool image_open(const struct image_setup *setup, struct image **ret_image, struct error *error);

/*
 * As QEMU: what is marked as dirty (its reference counts are not kept up to date while it is in use) is repaired before
 * it is changed. Who opens an image to change it need not ask; one that was opened to be read must not have been read
 * yet.
 */
MUST_CHECK bool image_repair_dirty(struct image *image, struct error *error);

/*
 * Before a change that takes and frees clusters by the image's own account of them: if that is wrong, it may take what
 * has data. Fails when a check finds errors (not for leaks); formats that cannot be checked pass. Waits.
 */
MUST_CHECK bool image_require_sound(struct image *image, struct error *error);

/*
 * Tells the host which format is in the file: it locks files other than raw ones against writers. Of an image,
 * image_open does so; of further files with metadata that an image consists of, the format. Nothing is told of a file
 * that is the disk of another image.
 */
void image_tell_format(const struct file *file, const char *format);

/*
 * Opens what is behind an image, as far as that goes, for the same purpose: IMAGE_CHAIN_MAX images at most, none of
 * them twice. A backing file whose format the image does not tell is probed. A device is in a chain once; where the
 * host gives one file two devices, the bound ends the loop.
 */
MUST_CHECK bool image_open_chain(struct image *image, struct error *error);

/* Opens only the image that is right behind this one, to describe it. */
MUST_CHECK bool image_look_behind(struct image *image, struct error *error);

/*
 * The same with what the user wants to be behind it: `backing`, which is open, whatever the image says. An error for
 * formats that know no image behind theirs.
 */
MUST_CHECK bool image_set_backing(struct image *image, struct image *backing, struct error *error);

/* Number of the images in a chain, this one included. */
uint32_t image_chain_len(const struct image *image);

/* Bytes that the unit of a compressed extent makes, and the most that one of the image does. */
static inline uint32_t image_unit_len(const struct image *image, const struct extent *extent)
{
    return extent->cluster_len != 0 ? extent->cluster_len : image->cluster_len;
}

static inline uint32_t image_unit_len_max(const struct image *image)
{
    return image->unit_len_max != 0 ? image->unit_len_max : image->cluster_len;
}

/* An extent as the format of the image that decides knows it: offsets are those of its own disk. */
static inline struct extent image_own_extent(const struct extent *extent)
{
    struct extent own = *extent;
    own.voff -= extent->shift_len; /* what was shifted wraps back */
    own.cluster_voff -= extent->shift_len;
    own.shift_len = 0;
    return own;
}

/* What is at `voff` of a chain. */
struct chain_extent {
    struct extent extent;
    const struct image *image;   /* that decides; the last one for what no image has */
    uint32_t depth;              /* of that image */
    bool is_present;             /* an image of the chain has something here (BDRV_BLOCK_ALLOCATED in QEMU's terms) */
    bool is_hole;                /* data, but a hole of its file: reads as zeros (only where extent.may_have_holes) */
    const struct image *missing; /* whose file ends before the cluster, or the table, that is here; NULL: none */
};

/* Who reads content reports what is missing by this. Returns false. */
bool image_report_missing(const struct chain_extent *extent, struct error *error);

/*
 * The extent at `voff` of the disk that `image` and what is behind it are: image_open_chain was there before. `voff`
 * lies within the disk, `len` is not 0; the extent ends where `len` or the disk does, or earlier: callers join
 * extents. Never EXTENT_UNALLOCATED: what nobody has is EXTENT_ZERO with is_present false. A backing file that ends
 * earlier reads as zeros from there.
 */
MUST_CHECK bool image_map(struct image *image, uint64_t voff, uint64_t len, struct chain_extent *ret_extent,
                          struct error *error);

/* The same for who tells of it and does not read it: as QEMU has it, opaque formats (format.h) are data all over. */
MUST_CHECK bool image_status(struct image *image, uint64_t voff, uint64_t len, struct chain_extent *ret_extent,
                             struct error *error);

#endif
