/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of an existing image's tables that are to become others: they are kept in memory, and seen by who asks here,
 * until what they tell of is safe in the file; then all of them are written, in as few pieces as they lie in.
 */
#ifndef INSTAR_GUEST_IMAGE_WRITE_TABLE_CHANGES_H
#define INSTAR_GUEST_IMAGE_WRITE_TABLE_CHANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/tables/block_table.h"
#include "guest/image/write/target.h"

/* Words that are kept. */
#define TABLE_CHANGES_MAX 4096u
/* What is written at once, bytes; and what pieces begin and end at. */
#define TABLE_CHANGES_STORE_LEN 65536u

struct table_change {
    uint64_t off; /* bytes in the file, a multiple of the word's length; 0: unused */
    uint64_t value;
    enum block_table_word word;
};

struct table_changes {
    struct target *target;
    struct cache *cache;
    uint32_t page_len; /* bytes, a power of two */
    /* Writes `len` bytes, whole pages but for the file's end; `bytes` may change afterwards. NULL: in place. */
    bool (*store)(struct table_changes *changes, uint64_t off, const uint8_t *bytes, uint32_t len, struct error *error);
    /* After the last one. NULL: nothing is to be done. */
    bool (*store_end)(struct table_changes *changes, struct error *error);
    uint32_t count;
    struct table_change *slots;   /* by a hash of their offsets */
    struct table_change **sorted; /* memory for TABLE_CHANGES_MAX */
    uint8_t *buffer;              /* TABLE_CHANGES_STORE_LEN bytes */
};

/* `page_len` is 512, or more where whole pages are to be written. */
MUST_CHECK bool table_changes_make(struct table_changes *changes, struct target *target, struct image *image,
                                   uint32_t page_len, struct error *error);

/* Entry `index` of a table, as it will be. */
MUST_CHECK bool table_changes_get(const struct table_changes *changes, const struct block_table *table, uint64_t index,
                                  uint64_t *ret_value, struct error *error);

/* How many more words there is room for. */
uint32_t table_changes_room(const struct table_changes *changes);

/* Entry `index` becomes `value`. False when there is no room (ERROR_GUEST), or where the table cannot be changed. */
MUST_CHECK bool table_changes_set(struct table_changes *changes, const struct block_table *table, uint64_t index,
                                  uint64_t value, struct error *error);

/* Writes all of them, and waits for it. */
MUST_CHECK bool table_changes_write(struct table_changes *changes, struct error *error);

/* Bytes of metadata, whole sectors but for the file's end: written in place, and waited for. */
MUST_CHECK bool table_changes_store(struct table_changes *changes, uint64_t off, const uint8_t *bytes, uint32_t len,
                                    struct error *error);

#endif
