/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/write/sector_bitmap_writer.h"

#include <string.h>

#include "base/checked.h"

void sector_bitmap_writer_init(struct sector_bitmap_writer *writer, struct block_writer *blocks,
                               enum sector_bitmap_order order, uint32_t page_len)
{
    *writer = (struct sector_bitmap_writer){.blocks = blocks, .order = order, .page_len = page_len};
}

/* Bits of one byte: `count` from bit `index` on, 8 at most together. */
static uint8_t byte_of(enum sector_bitmap_order order, uint32_t index, uint32_t count)
{
    uint32_t bits = (1u << count) - 1;
    return (uint8_t)(order == SECTOR_BITMAP_LOW_FIRST ? bits << index : bits << (8 - index - count));
}

static void bits_set(struct sector_bitmap_writer *writer, uint64_t index, uint64_t count)
{
    uint8_t *page = writer->page;
    uint64_t end = index + count;
    while (index < end) { /* ends: each round goes on by a bit at least */
        if (index % 8 == 0 && end - index >= 8) {
            memset(page + index / 8, 0xff, (size_t)((end - index) / 8));
            index = round_down(end, 8);
            continue;
        }
        uint32_t part_count = (uint32_t)min_u64(end - index, 8 - index % 8);
        page[index / 8] |= byte_of(writer->order, index % 8, part_count);
        index += part_count;
    }
}

bool sector_bitmap_writer_set(struct sector_bitmap_writer *writer, uint64_t off, uint64_t index, uint64_t count,
                              struct error *error)
{
    uint64_t page_bits = (uint64_t)writer->page_len * 8;
    while (count > 0) { /* ends: each round goes on by the rest of a page */
        uint64_t page_off = off + index / page_bits * writer->page_len;
        uint64_t in_page = index % page_bits;
        uint64_t part_count = min_u64(count, page_bits - in_page);
        if (page_off != writer->page_off) {
            RETURN_IF_FAILED(sector_bitmap_writer_end(writer, error));
            writer->page_off = page_off;
            memset(writer->page, 0, writer->page_len);
        }
        bits_set(writer, in_page, part_count);
        index += part_count;
        count -= part_count;
    }
    return true;
}

bool sector_bitmap_writer_end(struct sector_bitmap_writer *writer, struct error *error)
{
    uint64_t page_off = writer->page_off;
    writer->page_off = 0;
    return page_off == 0 || block_writer_put(writer->blocks, page_off, writer->page, writer->page_len, error);
}
