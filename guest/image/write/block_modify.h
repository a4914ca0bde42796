/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An existing image of a format that stores the disk in blocks of one length and tells of them in tables, which is
 * written to, at any place and in any order. New images are block_writer.h's.
 *
 * Whenever the job ends, also by a crash, the image opens, and each sector reads as before or as it was to become.
 * Hence the order:
 *
 *   - A block that has storage is written where it is. One that has none gets storage that nobody else has: all of it
 * is written, with what was there before around what is new.
 *   - Entries of tables change in memory (table_changes.h).
 *   - A checkpoint waits for the data, flushes, and writes the entries. There is one when memory for them runs out,
 * when somebody asks for stable storage, and at the end.
 *
 * In a damaged image an entry may lead anywhere: a format looks at all of its tables before it opens an image to change
 * it, and refuses one in which storage is used twice, or lies within metadata.
 *
 * A format's own struct begins with a block_modify. Its `open_target` calls block_modify_make; from then on it is asked
 * what a block is, and where a new one goes.
 */
#ifndef INSTAR_GUEST_IMAGE_WRITE_BLOCK_MODIFY_H
#define INSTAR_GUEST_IMAGE_WRITE_BLOCK_MODIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/image_read.h"
#include "guest/image/write/table_changes.h"
#include "guest/image/write/target.h"

/* Blocks that get storage for one request; and words of tables that a format may set for each. */
#define BLOCK_MODIFY_RUN_MAX 64u
#define BLOCK_MODIFY_WORDS_MAX 4u
/* Of what is copied around new data, bytes. */
#define BLOCK_MODIFY_BOUNCE_LEN 65536u

enum block_modify_kind {
    BLOCK_NONE,   /* the image has nothing: what is behind it, or zeros */
    BLOCK_ZERO,   /* zeros, whatever is behind */
    BLOCK_STORED, /* all of it is at `off` of the file, encrypted if the image has a cipher */
    BLOCK_PACKED, /* otherwise: read through the image as it was opened, and never written where it is */
};

struct block_modify_place {
    enum block_modify_kind kind;
    uint64_t off; /* bytes; of what is stored */
};

struct block_modify;
struct cipher_writer;

struct block_modify_format {
    /* What block `block` is, with all that has been set since. */
    bool (*find)(struct block_modify *modify, uint64_t block, struct block_modify_place *ret_place,
                 struct error *error);
    /*
     * Storage for a block that has none: mostly block_modify_append and an entry of the table. BLOCK_MODIFY_WORDS_MAX
     * words at most.
     */
    bool (*place)(struct block_modify *modify, uint64_t block, uint64_t *ret_off, struct error *error);
    /* A block that had storage when the image was opened is about to be written where it is. NULL: nothing is done. */
    bool (*touch)(struct block_modify *modify, uint64_t block, uint64_t off, struct error *error);
    /* A block reads as zeros, whatever is behind the image. NULL: the format cannot say so, and zeros are stored. */
    bool (*set_zero)(struct block_modify *modify, uint64_t block, struct error *error);
    /* Before the first change: what says that somebody writes. NULL: nothing does. */
    bool (*begin)(struct block_modify *modify, struct error *error);
    /*
     * At a checkpoint: what is to be in the file before the entries are, on stable storage afterwards. NULL: nothing.
     */
    bool (*before_entries)(struct block_modify *modify, struct error *error);
    /* When all has been written, after something was: what is to be in the file last. NULL: nothing. */
    bool (*end)(struct block_modify *modify, struct error *error);
    /* The file has grown. NULL: nobody minds. */
    bool (*has_grown)(struct block_modify *modify, struct error *error);
    /*
     * The job has failed, and the file is to end at told_len: before it does, what has to be in it then, on stable
     * storage. When that fails, the file stays as long as it is. NULL: nothing.
     */
    bool (*abandon)(struct block_modify *modify, struct error *error);
};

struct block_modify {
    struct target target; /* first */
    const struct block_modify_format *format;
    struct image *image;
    struct table_changes changes;
    uint64_t disk_off;  /* bytes of the image's disk before that of the target, where this is a part of it; mostly 0 */
    uint64_t block_len; /* bytes, a multiple of 512 */
    uint64_t next_off;  /* bytes: where what is appended goes; behind all that is used */
    uint64_t kept_len;  /* bytes of the file that stay */
    uint64_t told_len;  /* bytes of it that were there, or that entries in the file may lead to, and tail_len */
    uint64_t fresh_off; /* bytes: from here on the file has nothing yet but what was written since */
    uint64_t tail_len;  /* bytes behind next_off that the file has besides, at its end */
    bool has_begun;
    bool is_unsafe;               /* data has been written since the last flush */
    struct cipher_writer *cipher; /* NULL: not encrypted; otherwise sectors are counted by where they are on the disk */
    uint8_t *bounce;
    struct image_read_memory read_memory;
};

static inline struct block_modify *block_modify_of(struct target *target)
{
    return (struct block_modify *)target;
}

/*
 * Begins to change `image` in `modify`, which is arena memory. `next_off` is behind everything that the image uses;
 * `page_len`: see table_changes_make. What an image with a cipher stores is encrypted by it.
 */
MUST_CHECK bool block_modify_make(struct block_modify *modify, struct image *image,
                                  const struct block_modify_format *format, uint64_t block_len, uint64_t next_off,
                                  uint32_t page_len, struct error *error);

extern const struct target_operations block_modify_operations;

/* For the formats. */

/* Before the first change; callers of table_changes_set call it themselves. */
MUST_CHECK bool block_modify_begin(struct block_modify *modify, struct error *error);
/* `len` bytes of the file behind all others, from a multiple of `alignment` on: *ret_off. The file has them. */
MUST_CHECK bool block_modify_append(struct block_modify *modify, uint64_t len, uint64_t alignment, uint64_t *ret_off,
                                    struct error *error);
/* The same for a table: it holds zeros. */
MUST_CHECK bool block_modify_append_table(struct block_modify *modify, uint64_t len, uint64_t alignment,
                                          uint64_t *ret_off, struct error *error);
/* All entries of a table become 0, with the next checkpoint at the latest. */
MUST_CHECK bool block_modify_clear_table(struct block_modify *modify, const struct block_table *table,
                                         struct error *error);
/* Entries `first` to `end` - 1, as they are in the file, likewise become `value`, which says that there is no block. */
MUST_CHECK bool block_modify_clear_entries(struct block_modify *modify, const struct block_table *table, uint64_t first,
                                           uint64_t end, uint64_t value, struct error *error);
/*
 * The disk will have this length, which is more than it has: what is new reads as zeros then, whatever is behind the
 * image, or in the block in which the disk has ended so far. On stable storage afterwards. Blocks that the tables have
 * behind that one, as in an image whose disk was made shorter, are the format's to clear.
 */
MUST_CHECK bool block_modify_clear_end(struct block_modify *modify, uint64_t virtual_len, struct error *error);
/* The file is at least this long. */
MUST_CHECK bool block_modify_grow_to(struct block_modify *modify, uint64_t end_off, struct error *error);
/* Zeros in the file; waits. Both are multiples of 512, but for the file's end. */
MUST_CHECK bool block_modify_put_zeros(struct block_modify *modify, uint64_t off, uint64_t len, bool may_unmap,
                                       struct error *error);
/*
 * What the file has at one place, zeros behind its end, goes to another one, which is nobody's yet. Waits. All are
 * multiples of 512.
 */
MUST_CHECK bool block_modify_copy_within(struct block_modify *modify, uint64_t from_off, uint64_t to_off, uint64_t len,
                                         struct error *error);
/* Everything that was written so far is in the file, with the entries that tell of it. */
MUST_CHECK bool block_modify_checkpoint(struct block_modify *modify, struct error *error);
/* Before something is written that is no entry of a table and leads to what was appended: a job that fails leaves that.
 */
void block_modify_tell(struct block_modify *modify);
/* What was written so far is on stable storage. */
MUST_CHECK bool block_modify_flush(struct block_modify *modify, struct error *error);
/* target.h's operation. */
bool block_modify_finish(struct target *target, bool sync, struct error *error);
/* Number of the disk's blocks. */
uint64_t block_modify_count(const struct block_modify *modify);

#endif
