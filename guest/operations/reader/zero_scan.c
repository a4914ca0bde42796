/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/reader/zero_scan.h"

#include "base/checked.h"

/* The block at the start of `bytes`, which come from the offset `off`. */
static struct span first_block(struct span bytes, uint64_t off, uint64_t block_len)
{
    uint64_t block_left = block_len - off % block_len;
    return (struct span){bytes.data, (size_t)min_u64(block_left, bytes.len)};
}

struct zero_run zero_run_find_blocks(struct span bytes, uint64_t off, uint64_t block_len)
{
    struct span block = first_block(bytes, off, block_len);
    struct zero_run run = {.len = block.len, .is_zero = bytes_are_zero(block)};
    while (run.len < bytes.len) {
        struct span rest = {bytes.data + run.len, (size_t)(bytes.len - run.len)};
        block = first_block(rest, off + run.len, block_len);
        if (bytes_are_zero(block) != run.is_zero) {
            break;
        }
        run.len += block.len;
    }
    return run;
}

struct zero_run zero_run_find(struct span bytes, uint64_t off)
{
    return zero_run_find_blocks(bytes, off, ZERO_BLOCK_LEN);
}
