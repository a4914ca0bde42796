/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/reader/sparse_run.h"

struct zero_run sparse_run_find(struct span bytes, uint64_t off, uint64_t sparse_len, uint64_t block_len, bool is_end)
{
    uint64_t data_len = 0;
    if (sparse_len == 0) {
        return (struct zero_run){.len = bytes.len};
    }
    while (data_len < bytes.len) { /* ends: a run is not empty */
        struct span rest = {bytes.data + data_len, (size_t)(bytes.len - data_len)};
        struct zero_run run = zero_run_find_blocks(rest, off + data_len, block_len);
        /* What the bytes begin with is left out however short it is, as qemu-img does. */
        if (run.is_zero && (data_len == 0 || run.len >= sparse_len || (is_end && run.len == rest.len))) {
            if (data_len == 0) {
                return run;
            }
            break;
        }
        data_len += run.len;
    }
    return (struct zero_run){.len = data_len};
}
