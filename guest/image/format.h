/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a format is to everybody else: a table of functions, listed in guest/formats/formats.c. Formats know
 * neither each other nor the operations; operations know formats only by this table.
 *
 * The one abstraction is the extent: what is at an offset of the virtual disk, and for how long.
 */
#ifndef INSTAR_GUEST_IMAGE_FORMAT_H
#define INSTAR_GUEST_IMAGE_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/span.h"
#include "base/stream_step.h"
#include "guest/image/bitmap.h"
#include "guest/image/file.h"
#include "messages.pb.h"

struct image;
struct image_environment;
struct target;
struct target_setup;

enum extent_kind {
    EXTENT_UNALLOCATED, /* the image has nothing here: its backing file counts, or zeros if it has none */
    EXTENT_ZERO,        /* reads as zeros, whatever a backing file has */
    EXTENT_DATA,        /* plain bytes at file_off of `file` */
    EXTENT_COMPRESSED,  /* one compressed unit: its stream lies within compressed_len bytes at file_off */
    EXTENT_ENCRYPTED,   /* bytes at file_off of `file` that the image's cipher makes readable */
};

struct extent {
    uint64_t voff; /* bytes of the virtual disk */
    uint64_t len;  /* bytes, never 0 */
    enum extent_kind kind;
    bool has_file_off;       /* there is storage at file_off; also reserved for zeros, or for what is unallocated */
    bool is_missing;         /* the cluster, or the table that would tell, begins behind the file's end */
    bool may_have_holes;     /* data that may be holes of the file, which read as zeros: image_map looks */
    uint64_t file_off;       /* bytes */
    struct file *file;       /* the image's own, or its data file */
    uint64_t compressed_len; /* bytes, 2 * image_unit_len_max() at most; of longer units (below) any */
    uint64_t cluster_voff;   /* compressed: the unit's start, anywhere; the extent may be a part of it. Of a part of a
                              * disk it may lie before that, and wraps: only voff - cluster_voff counts */
    uint64_t cipher_off;     /* encrypted: where the extent begins in what its cipher counts (data_cipher.h): bytes; as
                              * far within a unit as file_off and voff are */
    uint32_t cluster_len;    /* compressed: bytes that the whole unit makes; 0: image->cluster_len */
    uint64_t shift_len;      /* bytes that voff is more than on the disk of the image that decides (wraps): 0 from
                              * formats; the chain sets it where that is seen through parts, or through other images */
};

/* The most that decompress produces at once: the largest cluster of any format. Longer units: decompress_step. */
#define FORMAT_CLUSTER_LEN_MAX (2u << 20)

/* An image names another file: a backing file, a data file. */
#define FILE_NAME_LEN_MAX 1023u
struct file_name {
    bool is_set;
    uint16_t len;
    uint8_t bytes[FILE_NAME_LEN_MAX];
};

/* What an operation wants to know of a target format before anything is written (qemu-img measure). */
struct measure_request {
    const struct image_environment *environment;
    uint64_t virtual_len;
    const instar_FormatOption *options;
    uint32_t option_count;
    struct image *source; /* NULL: an empty disk */
};

/* A disk that becomes longer or shorter. */
enum resize_preallocation {
    RESIZE_PREALLOCATE_OFF,
    RESIZE_PREALLOCATE_METADATA, /* tables tell of storage that the file does not have yet */
    RESIZE_PREALLOCATE_FALLOC,   /* storage is reserved */
    RESIZE_PREALLOCATE_FULL,
};

struct resize_plan {
    uint64_t virtual_len; /* bytes, not 0 */
    enum resize_preallocation preallocation;
    bool sync; /* on stable storage afterwards */
    /*
     * For an image that consists of several files: more of them, empty. They have names when IMAGE_FILE_NEW_PARTS was
     * opened: that of the image's file, which is `name`, with numbers from new_first on.
     */
    struct file *const *new_files;
    uint32_t new_count;
    uint32_t new_first;
    struct span name;
};

/* A damaged image that is repaired. */
struct repair_plan {
    bool fixes_leaks;
    bool fixes_errors;
    uint32_t findings_max;
};

/* Internal snapshots that are changed. */
enum snapshot_action {
    SNAPSHOT_CREATE,
    SNAPSHOT_APPLY,
    SNAPSHOT_DELETE,
};

struct snapshot_plan {
    enum snapshot_action action;
    const uint8_t *name; /* to apply one, also its id */
    uint32_t name_len;   /* bytes, 255 at most */
    uint32_t date_sec;   /* of one that is created: since the Epoch */
    uint32_t date_nsec;
    bool sync; /* on stable storage afterwards */
};

/* What is done to a bitmap, one after the other. */
enum bitmap_action_kind {
    BITMAP_ADD,
    BITMAP_REMOVE,
    BITMAP_CLEAR,
    BITMAP_ENABLE,
    BITMAP_DISABLE,
    BITMAP_MERGE,
};

struct bitmap_action {
    enum bitmap_action_kind kind;
    const uint8_t *merged; /* BITMAP_MERGE: the name of the bitmap whose bits are added */
    uint32_t merged_len;   /* bytes */
};

/* One bitmap of an image that is changed. */
struct bitmap_plan {
    const uint8_t *name;
    uint32_t name_len;         /* bytes */
    uint64_t granularity;      /* bytes, of one that is added; 0: what fits the image */
    struct image *merge_image; /* has the bitmaps that are merged; NULL: the image itself */
    const struct bitmap_action *actions;
    uint32_t action_count; /* BITMAP_ACTIONS_MAX at most */
    bool sync;             /* on stable storage afterwards */
};

#define BITMAP_ACTIONS_MAX 32u

/* What an image is said to be, changed: options as those of a new one. */
struct amend_plan {
    const instar_FormatOption *options; /* but those that follow */
    uint32_t option_count;
    uint64_t virtual_len;    /* bytes; 0: stays */
    bool has_backing_name;   /* backing_name is given */
    bool has_data_name;      /* data_name is given; an empty one: there is none any more */
    bool changes_encryption; /* options of encryption are given, and among `options` */
    bool force;              /* also what loses the disk */
    struct span random;      /* 64 bytes that nobody knows */
    bool sync;               /* on stable storage afterwards */
    struct file_name backing_name;
    struct file_name data_name;
    /* Is told how far the change is, `done` of `total`, as it goes on; NULL: nobody wants to know. */
    void (*tell)(void *context, uint64_t done, uint64_t total);
    void *tell_context;
};

/*
 * Which table of an image tells what is in the stretch of the disk that an offset lies in. Stretches begin at multiples
 * of their length. Those with the same table are alike, from offset to offset, unless one reaches behind the disk's
 * end.
 */
#define TABLE_NONE UINT64_MAX
struct table_stretch {
    uint64_t len;   /* bytes, not 0, the same for the whole image */
    uint64_t table; /* a number of the format's, TABLE_NONE: nobody can say */
};

struct format {
    const char *name; /* as with -f */

    /*
     * QEMU's driver has no block status: what is told of the image (image_status: map, measure, strict comparisons) is
     * data all over, in no place. `map` tells what there is to read, all the same.
     */
    bool is_opaque;

    /* Block status of QEMU's driver ends with each cluster, where others join what follows each other in the file. */
    bool tells_by_cluster;

    /* QEMU's driver writes no such image either: opening one to change it is refused in QEMU's words. */
    bool is_read_only;

    /*
     * How sure the format is that a file that begins with `head` is its own: 0 to 100, as in QEMU. `name` is how the
     * file's name ends, or all of it.
     */
    int (*probe)(struct span head, struct span name);

    /* image->file is set. Fills in what an image has (image.h); its state comes from the arena. */
    bool (*open)(struct image *image, struct error *error);

    /*
     * The extent at `voff`, which lies within the disk: `len` bytes at most, and at least one. It may be shorter
     * than it could be: callers join extents.
     */
    bool (*map)(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error);

    /*
     * Which table tells of `voff`, which lies within the disk: tables that many stretches share need be looked at once
     * only (table_memo.h). NULL: the format has none that could be shared, or nobody can say.
     */
    bool (*table_at)(struct image *image, uint64_t voff, struct table_stretch *ret_stretch, struct error *error);

    /*
     * The unit of a compressed extent, whole, from the bytes of its stream: writes image_unit_len() bytes.
     * Reads nothing else and changes nothing, so every vCPU may call it at once, each with `scratch` memory of its
     * own of image->scratch_len bytes. NULL: never compressed.
     */
    bool (*decompress)(const struct image *image, const struct extent *extent, struct span stream, uint8_t *target,
                       void *scratch, struct error *error);

    /*
     * The same, and how many bytes of `stream` the unit's stream really has: what follows them means nothing. NULL:
     * nobody can say; image->stream_kind is OTHER then.
     */
    bool (*decompress_counted)(const struct image *image, const struct extent *extent, struct span stream,
                               uint8_t *target, void *scratch, size_t *ret_stream_len, struct error *error);

    /*
     * The same in steps, for units that are longer than FORMAT_CLUSTER_LEN_MAX (unit_stream.h). `state` has
     * image->stream_state_len bytes. False for damage; an error without text gets one. On any vCPU, each unit with a
     * state of its own. NULL: units are never so long.
     */
    bool (*decompress_step)(const struct image *image, const struct extent *extent, struct stream_step *step,
                            void *state, struct error *error);

    /* QEMU's driver lets the user say what is behind an image. */
    bool takes_backing;

    /*
     * Whether image->backing, which is open, is what the image was made for. If not, nothing of it is read; `map` and
     * `info` tell of it all the same, as in QEMU. NULL: any image may be behind it.
     */
    bool (*accepts_backing)(const struct image *image);
    /* What is zero in one that it was not made for counts as zero here, as in QEMU, which does not read there. */
    bool takes_foreign_zeros;

    /* Sends the DetailMessages of info. NULL: there are none. */
    bool (*describe)(struct image *image, struct error *error);

    /*
     * Looks for damage: sends findings_max FindingMessages at most (check_finding), fills in the counts. False when it
     * cannot go on; *error then says why in qemu-img's words. NULL: cannot be checked.
     */
    bool (*check)(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result, struct error *error);

    /*
     * The same, and repairs what it finds where that can be done, in an order that leaves the image no worse whenever
     * the job ends. What is repaired is told as "Repairing" and counted (leaks_fixed, corruptions_fixed); the other
     * counts are of what is left. Waits; on stable storage afterwards. NULL: nothing can be repaired.
     */
    bool (*repair)(struct image *image, const struct repair_plan *plan, instar_CheckMessage *ret_result,
                   struct error *error);

    /* Reads an internal snapshot from now on. NULL: there are no snapshots. */
    bool (*select_snapshot)(struct image *image, const instar_SnapshotChoice *choice, struct error *error);

    /* The next of the image's bitmaps. *ret_is_end: there is none any more. NULL: the format has none. */
    bool (*bitmap_next)(struct image *image, struct image_bitmap_walk *walk, bool *ret_is_end,
                        struct image_bitmap *ret_bitmap, struct error *error);
    /* Bits of it, from byte `off` of them on; 0 where they end. */
    bool (*bitmap_read)(struct image *image, const struct image_bitmap *bitmap, uint64_t off, uint8_t *target,
                        uint32_t len, struct error *error);

    /* How long a new image of this format would be. NULL: not known. */
    bool (*measure)(const struct measure_request *request, instar_MeasureMessage *ret_result, struct error *error);

    /* `create` can make a part of an image, which says so and is refused by who wants a whole one (shard.h). */
    bool has_shards;

    /* Begins a new image (target.h). NULL: cannot be written. */
    bool (*create)(const struct target_setup *setup, struct target **ret_target, struct error *error);

    /*
     * Begins to change what is on the disk of an image that exists (target.h). It was opened to be read, with what is
     * behind it; who reads it afterwards sees what was there before. NULL: cannot be written.
     */
    bool (*open_target)(struct image *image, struct target **ret_target, struct error *error);

    /* Changes the disk's length; the image was opened likewise. Waits. NULL: cannot be done. */
    bool (*resize)(struct image *image, const struct resize_plan *plan, struct error *error);

    /*
     * Creates, applies or deletes an internal snapshot. An error without a place is about it, in qemu-img's words.
     * NULL: there are none.
     */
    bool (*change_snapshots)(struct image *image, const struct snapshot_plan *plan, struct error *error);

    /* Changes what the image is said to be; it was opened as for resize. Waits. NULL: cannot be done. */
    bool (*amend)(struct image *image, const struct amend_plan *plan, struct error *error);

    /*
     * Changes a bitmap. When one of the actions cannot be, those before it are done, as by qemu-img: *ret_done_count
     * is how many, and the error is about the next one, in qemu-img's words. It is action_count with other errors.
     * NULL: there are no bitmaps.
     */
    bool (*change_bitmap)(struct image *image, const struct bitmap_plan *plan, uint32_t *ret_done_count,
                          struct error *error);
};

/* All formats, in the order of probing; ends with NULL (guest/formats/formats.c). */
extern const struct format *const formats[];

/* The one that is called `name`, or NULL. */
const struct format *format_find(const char *name);

#endif
