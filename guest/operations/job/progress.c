/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/job/progress.h"

#include "base/checked.h"

#define SECTORS_PER_REPORT 10u

void progress_init(struct progress *progress, uint64_t total_len, uint64_t sector_len, uint32_t percent)
{
    *progress = (struct progress){
        .total_len = total_len,
        .sector_len = sector_len,
        .total_sectors = divide_up(total_len, sector_len),
        .percent = percent,
    };
}

void progress_add(struct progress *progress, uint64_t len)
{
    progress->done_len = min_u64(progress->done_len + len, progress->total_len);
}

static uint64_t done_sectors(const struct progress *progress)
{
    if (progress->done_len == progress->total_len) {
        return progress->total_sectors;
    }
    return progress->done_len / progress->sector_len;
}

/* The first whole sector at or after a percentage. No overflow: there are less than 2^55 sectors. */
static uint64_t percent_sectors(const struct progress *progress, uint32_t percent)
{
    return (progress->total_sectors * percent + 99) / 100;
}

/* The count that is to be reported next; a count beyond the total when there is none. */
static uint64_t next_sectors(struct progress *progress)
{
    const uint64_t none = progress->total_sectors + 1;
    if (progress->percent == PROGRESS_EVERY_10_SECTORS) {
        return progress->reported_sectors + SECTORS_PER_REPORT;
    }
    /* With few sectors, several thresholds are crossed by the same one: the last of them is reported. */
    while (progress->percent < PROGRESS_NEVER && progress->reported_percent + progress->percent <= 100) {
        uint64_t sectors = percent_sectors(progress, progress->reported_percent + progress->percent);
        if (sectors > progress->reported_sectors) {
            return sectors;
        }
        progress->reported_percent += progress->percent;
    }
    return none;
}

bool progress_next(struct progress *progress, struct progress_report *ret_report)
{
    uint64_t sectors = next_sectors(progress);
    if (sectors > done_sectors(progress)) {
        return false;
    }
    progress->reported_sectors = sectors;
    ret_report->sectors = sectors;
    ret_report->bytes = min_u64(sectors * progress->sector_len, progress->total_len);
    return true;
}
