/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/job/rate_limit.h"

#include "abi/ports.h"
#include "base/checked.h"
#include "guest/runtime/platform.h"

/* What no host reaches is no limit; and products below do not overflow in a hundred days. */
#define RATE_MAX (1ull << 40)
/* Requests per second, of those that are as long as they may be. */
#define PIECES_PER_S 10u
#define PIECE_LEN_MIN 65536u
/* When the host does not know its clock: as fast as any, so that the rate is not exceeded. */
#define TICKS_KHZ_GUESS 6000000u

void rate_limit_start(struct rate_limit *limit, uint64_t rate, uint32_t ticks_khz)
{
    *limit = (struct rate_limit){
        .rate = rate <= RATE_MAX ? rate : 0,
        .start_ticks = platform_ticks(),
        .ticks_khz = ticks_khz != 0 ? ticks_khz : TICKS_KHZ_GUESS,
    };
}

uint64_t rate_limit_piece_len(const struct rate_limit *limit)
{
    return limit->rate != 0 ? max_u64(round_down(limit->rate / PIECES_PER_S, PIECE_LEN_MIN), PIECE_LEN_MIN) : 0;
}

bool rate_limit_allows(const struct rate_limit *limit, uint64_t len)
{
    if (limit->rate == 0) {
        return true;
    }
    uint64_t ms = (platform_ticks() - limit->start_ticks) / limit->ticks_khz;
    return len <= ms / 1000 * limit->rate + ms % 1000 * limit->rate / 1000;
}

void rate_limit_wait(void)
{
    platform_wait(WAIT_TICK);
}
