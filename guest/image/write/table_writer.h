/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of block addresses of a new image, written from its first entry to its last, as the disk arrives front to
 * back: two pages of it are in memory, whatever its length, and a page goes to the file when the disk has moved on.
 * What reads it is block_table.h.
 */
#ifndef INSTAR_GUEST_IMAGE_WRITE_TABLE_WRITER_H
#define INSTAR_GUEST_IMAGE_WRITE_TABLE_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/units.h"
#include "guest/image/tables/block_table.h"
#include "guest/image/write/target.h"

#define TABLE_WRITER_PAGE_COUNT 2u

struct table_writer;

struct table_writer_page {
    struct table_writer *writer;
    struct io_request request;
    uint8_t *data;
    uint32_t busy_count; /* writes of it that are under way */
    struct io_request copy_request;
};

struct table_writer {
    struct target *target;
    enum block_table_word word;
    uint64_t fill; /* what entries are that nobody sets */
    uint32_t page_len;
    struct table_writer_page pages[TABLE_WRITER_PAGE_COUNT];
    /* Of the table under way. */
    uint64_t off;      /* bytes; the first entry's place, a multiple of the entry's length */
    uint64_t copy_off; /* bytes; of a second table that says the same: 0: none */
    uint64_t count;    /* entries; 0: none is under way */
    uint64_t page_off; /* bytes; the current page's place */
    uint32_t current;
    bool is_used; /* the current page has an entry */
    /* The sector that the table begins in, where it begins within one: whoever has the rest of it writes it. */
    uint8_t first_sector[SECTOR_LEN];
};

/*
 * For tables of up to `count_max` entries, one after the other: that bounds the memory, too. False when there is none
 * left (*error is set).
 */
MUST_CHECK bool table_writer_make(struct table_writer *writer, struct target *target, struct arena *arena,
                                  enum block_table_word word, uint64_t fill, uint64_t count_max, struct error *error);

/*
 * Begins a table of `count` entries at `off`, which the file has room for; none is under way. Where `fill` is 0, the
 * file reads as zeros there: pages without an entry are not written. A second one at `copy_off` begins, as this one, at
 * a multiple of 512. A table that begins within a sector has no copy.
 */
void table_writer_begin(struct table_writer *writer, uint64_t off, uint64_t copy_off, uint64_t count);

/* Entry `index`, no less than the one before. */
MUST_CHECK bool table_writer_set(struct table_writer *writer, uint64_t index, uint64_t value, struct error *error);

/* What is left of the table. Its last writes may still be under way (target_settle). */
MUST_CHECK bool table_writer_end(struct table_writer *writer, struct error *error);

#endif
