/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of block addresses in a file: entry i tells where block i of the disk is. Most formats are one, or two, one
 * behind the other. Read through the cache, so memory does not follow the table's length.
 */
#ifndef INSTAR_GUEST_IMAGE_TABLES_BLOCK_TABLE_H
#define INSTAR_GUEST_IMAGE_TABLES_BLOCK_TABLE_H

#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/cache.h"

enum block_table_word {
    BLOCK_TABLE_LE32,
    BLOCK_TABLE_LE64,
    BLOCK_TABLE_BE32,
    BLOCK_TABLE_BE64,
};

/* `off` needs no alignment. Entries behind the file's end read as zeros: where that is an error, the format says so. */
struct block_table {
    struct file *file;
    uint64_t off; /* bytes; a table that ends behind FILE_END_MAX cannot be read (MALFORMED), as in QEMU */
    uint64_t count;
    enum block_table_word word;
};

/* Bytes of an entry. */
uint32_t block_table_word_len(enum block_table_word word);

/* An entry as it is in the file; one that is put is no more than the word has room for. */
uint64_t block_table_word_get(const uint8_t *bytes, enum block_table_word word);
void block_table_word_put(uint8_t *bytes, enum block_table_word word, uint64_t value);

/* The first byte behind the table. False when that is more than INT64_MAX, or not within the file (MALFORMED). */
MUST_CHECK bool block_table_check(const struct block_table *table, const char *what, struct error *error);

/* How many entries begin within the file: those behind it read as zeros, and who walks a table need not go there. */
uint64_t block_table_stored_count(const struct block_table *table);

/* Entry `index`; one that the table does not have is an error of ours (ERROR_GUEST). */
MUST_CHECK bool block_table_read(struct cache *cache, const struct block_table *table, uint64_t index,
                                 uint64_t *ret_value, struct error *error);

/*
 * Entry `index`, and how many entries from it on go on likewise: each has `step` more than the one before it (0: all
 * are the same), up to `count_max`, which is not 0. *ret_count is 1 at least; it may be less than there are, as only
 * what one view of the cache has is looked at, and no run goes on where the file has ended: callers join extents
 * anyway.
 */
MUST_CHECK bool block_table_run(struct cache *cache, const struct block_table *table, uint64_t index,
                                uint64_t count_max, uint64_t step, uint64_t *ret_value, uint64_t *ret_count,
                                struct error *error);

#endif
