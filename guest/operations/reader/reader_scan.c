/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/reader/reader_scan.h"

#include <string.h>

#include "base/checked.h"

/* Long enough that answers cost nothing, short enough that data can be copied while the next stretch is looked at. */
#define SCAN_LEN (16ull << 20)
_Static_assert(SCAN_LEN <= VIRTIO_BLK_ZEROS_LEN_MAX, "one request");

uint64_t reader_scan_len(uint64_t len, uint32_t unit_bits)
{
    uint64_t unit_len = 1ull << unit_bits;
    return min_u64(round_down(min_u64(len, SCAN_LEN), unit_len), VIRTIO_BLK_ZEROS_UNIT_COUNT_MAX * unit_len);
}

static void scan_done(struct io_request *request, const struct error *error)
{
    struct reader_scan *scan = request->owner;
    if (error != NULL) {
        memset(scan->bitmap, 0, sizeof(scan->bitmap)); /* copying it will tell what is wrong */
    }
    scan->is_done = true;
    (*scan->pending)--;
}

void reader_scan_submit(struct reader_scan *scan, struct io *io, const struct reader_part *part, uint32_t unit_bits,
                        uint32_t *pending)
{
    *scan = (struct reader_scan){
        .request = {.done = scan_done, .owner = scan}, .rest = *part, .unit_bits = unit_bits, .pending = pending};
    (*pending)++;
    io_find_zeros(io, &scan->request, part->file, part->file_off, unit_bits, (uint32_t)(part->len >> unit_bits),
                  scan->bitmap);
}

static bool is_zero(const struct reader_scan *scan, uint32_t unit)
{
    return (scan->bitmap[unit / 8] >> unit % 8 & 1) != 0;
}

bool reader_scan_take(struct reader_scan *scan, struct reader_part *ret_part)
{
    uint32_t end_unit = scan->next_unit + (uint32_t)(scan->rest.len >> scan->unit_bits);
    uint32_t unit = scan->next_unit;
    bool run_is_zero = is_zero(scan, unit);
    while (unit < end_unit && is_zero(scan, unit) == run_is_zero) {
        unit++;
    }
    uint64_t len = (uint64_t)(unit - scan->next_unit) << scan->unit_bits;
    *ret_part = scan->rest;
    ret_part->kind = run_is_zero ? READER_ZERO : READER_PLAIN;
    ret_part->len = len;
    scan->next_unit = unit;
    scan->rest.voff += len;
    scan->rest.file_off += len;
    scan->rest.len -= len;
    return scan->rest.len > 0;
}
