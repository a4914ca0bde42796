/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies one device to another: the same content afterwards, as far as the input goes. Holes of the input are
 * not read, and zeros are not written where the output reads as zero anyway.
 */
#ifndef INSTAR_GUEST_OPERATIONS_COPY_COPY_DEVICE_H
#define INSTAR_GUEST_OPERATIONS_COPY_COPY_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "guest/drivers/virtio_blk_driver.h"
#include "guest/operations/copy/copy_transfer.h"
#include "guest/runtime/arena.h"

struct copy_options {
    struct virtio_blk *input;
    struct virtio_blk *output;
    uint32_t input_sector_len; /* bytes, a power of two, 512 at least */
    uint32_t output_sector_len;
    uint32_t request_len;      /* bytes of each read and write, a multiple of 512; 0: as large as they can be */
    uint32_t transfer_count;   /* under way at once at most; 0: the default */
    uint32_t progress_percent; /* operations/job/progress.h */
    bool sync;                 /* the output is on stable storage in the end */
    struct arena *arena;
};

/* Sends progress messages on the way. */
bool copy_run(const struct copy_options *options, struct copy_result *ret_result, struct error *error);

#endif
