/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stretch of plain data of which only the zeros are looked for, by the host: then the parts that are data can be
 * copied without entering the guest, and the others need not be stored.
 */
#ifndef INSTAR_GUEST_OPERATIONS_READER_READER_SCAN_H
#define INSTAR_GUEST_OPERATIONS_READER_READER_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/virtio_blk.h"
#include "guest/image/io.h"
#include "guest/operations/reader/reader_part.h"

struct reader_scan {
    struct io_request request;
    struct reader_part rest; /* PLAIN: what has not been taken yet */
    uint32_t unit_bits;
    uint32_t next_unit; /* of the rest */
    bool is_done;
    uint32_t *pending; /* counts requests under way */
    struct reader_scan *next_free;
    uint8_t bitmap[VIRTIO_BLK_ZEROS_UNIT_COUNT_MAX / 8];
};

/* The most of `len` bytes that one scan can be about; 0 when there is no whole unit. */
uint64_t reader_scan_len(uint64_t len, uint32_t unit_bits);

/* Begins with a part of plain data, of a length that reader_scan_len gave. */
void reader_scan_submit(struct reader_scan *scan, struct io *io, const struct reader_part *part, uint32_t unit_bits,
                        uint32_t *pending);

/* The next part of a scan that is done: ZERO or PLAIN, as long as it can be. Returns whether more is left behind it. */
bool reader_scan_take(struct reader_scan *scan, struct reader_part *ret_part);

#endif
