/* SPDX-License-Identifier: Apache-2.0 */
/* So many bytes per second, and no more. */
#ifndef INSTAR_GUEST_OPERATIONS_JOB_RATE_LIMIT_H
#define INSTAR_GUEST_OPERATIONS_JOB_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct rate_limit {
    uint64_t rate; /* bytes per second; 0: no limit */
    uint64_t start_ticks;
    uint64_t ticks_khz;
};

/* From now on. `ticks_khz` 0: unknown. */
void rate_limit_start(struct rate_limit *limit, uint64_t rate, uint32_t ticks_khz);

/* Bytes of one request, so that several are done in a second: a multiple of 512; 0: as many as are good. */
uint64_t rate_limit_piece_len(const struct rate_limit *limit);

/* Whether more may be started, when `len` bytes have been. */
bool rate_limit_allows(const struct rate_limit *limit, uint64_t len);

/* Lets some time pass. */
void rate_limit_wait(void);

#endif
