/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening, and what is where: a catalog tells which extent of the file each extent of the disk is, and a bitmap before
 * its data which of its sectors were ever written.
 */
#include "guest/formats/bochs/bochs.h"

#include "base/checked.h"
#include "guest/formats/bochs/bochs_header.h"
#include "guest/image/format_open.h"
#include "guest/image/probe.h"
#include "guest/image/tables/block_table.h"
#include "guest/image/tables/extent_end.h"

static const struct bochs_header *header_of(const struct image *image)
{
    return image->state;
}

static int bochs_probe(struct span head, struct span name)
{
    (void)name;
    return bochs_header_probe(head) ? PROBE_SURE : 0;
}

static bool bochs_open(struct image *image, struct error *error)
{
    struct bochs_header *header;
    uint8_t head[BOCHS_HEADER_LEN];
    RETURN_IF_FAILED(format_open_read(image, 0, head, sizeof(head), error));
    RETURN_IF_FAILED(format_open_state(image, sizeof(*header), (void **)&header, error));
    RETURN_IF_FAILED(bochs_header_parse((struct span){head, sizeof(head)}, header, error));
    return format_open_set_len(image, header->disk_len, error);
}

static bool has_bit(struct span bits, uint64_t number)
{
    return (bits.data[number / 8] >> number % 8 & 1) != 0;
}

/* How many of the bits from `first` on, up to `count`, are the same as the first one: as far as one view of them goes.
 */
static bool bit_run(struct image *image, uint64_t bitmap_off, uint64_t first, uint64_t count, bool *ret_bit,
                    uint64_t *ret_count, struct error *error)
{
    struct span bits;
    uint64_t skipped = first % 8;
    uint64_t len = (skipped + count + 7) / 8;
    RETURN_IF_FAILED(cache_view(image->environment->cache, image->file, bitmap_off + first / 8, len, &bits, error));
    count = min_u64(count, bits.len * 8 - skipped);
    uint64_t run = 1;
    *ret_bit = has_bit(bits, skipped);
    while (run < count && has_bit(bits, skipped + run) == *ret_bit) { /* ends with the view */
        run++;
    }
    *ret_count = run;
    return true;
}

/* Offsets do not wrap: 2^32 numbers of extents, each of 2^32 bitmap bytes and 2^23 data bytes at most. */
static bool map_extent(struct image *image, uint64_t number, uint64_t len, struct extent *extent, struct error *error)
{
    const struct bochs_header *header = header_of(image);
    uint64_t stride = header->bitmap_len + header->extent_len;
    uint64_t in_extent = extent->voff % header->extent_len;
    uint64_t bitmap_off;
    bool is_there;
    uint64_t sectors;
    if (!checked_multiply(number, stride, &bitmap_off) || !checked_add(bitmap_off, header->data_off, &bitmap_off) ||
        bitmap_off > INT64_MAX - stride) {
        return error_set(error, ERROR_MALFORMED, NULL, "the extent of offset %llu is at an impossible place",
                         (unsigned long long)extent->voff);
    }
    uint64_t first = in_extent / BOCHS_SECTOR_LEN;
    uint64_t count = (in_extent + len - 1) / BOCHS_SECTOR_LEN + 1 - first;
    RETURN_IF_FAILED(bit_run(image, bitmap_off, first, count, &is_there, &sectors, error));
    extent->len = min_u64(len, (first + sectors) * BOCHS_SECTOR_LEN - in_extent);
    if (is_there) {
        extent->kind = EXTENT_DATA;
        extent->has_file_off = true;
        extent->file = image->file;
        extent->file_off = bitmap_off + header->bitmap_len + in_extent;
        extent_look_for_end(extent, BOCHS_SECTOR_LEN);
    }
    return true;
}

static bool bochs_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error)
{
    const struct bochs_header *header = header_of(image);
    struct block_table catalog = {
        .file = image->file, .off = header->catalog_off, .count = header->catalog_count, .word = BLOCK_TABLE_LE32};
    struct extent extent = {.voff = voff, .kind = EXTENT_ZERO};
    uint64_t in_extent = voff % header->extent_len;
    uint64_t number, count;
    RETURN_IF_FAILED(block_table_run(image->environment->cache, &catalog, voff / header->extent_len, UINT64_MAX, 0,
                                     &number, &count, error));
    if (number == BOCHS_EXTENT_NONE) {
        extent.len = min_u64(len, count * header->extent_len - in_extent);
    } else {
        uint64_t part_len = min_u64(len, header->extent_len - in_extent);
        RETURN_IF_FAILED(map_extent(image, number, part_len, &extent, error));
    }
    extent_look_for_entry(&extent, &catalog, voff / header->extent_len);
    *ret_extent = extent;
    return true;
}

const struct format bochs_format = {
    .name = "bochs",
    .is_opaque = true,
    .is_read_only = true,
    .probe = bochs_probe,
    .open = bochs_open,
    .map = bochs_map,
};
