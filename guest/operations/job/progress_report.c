/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/job/progress_report.h"

#include "guest/runtime/messages.h"

#define REPORTS_PER_ROUND 64u

bool progress_report(struct progress *progress)
{
    struct progress_report due;
    unsigned int count = 0;
    while (count < REPORTS_PER_ROUND && progress_next(progress, &due)) {
        instar_ProgressMessage message = {
            .sectors = due.sectors,
            .total_sectors = progress->total_sectors,
            .bytes = due.bytes,
            .total_bytes = progress->total_len,
        };
        messages_post_progress(&message);
        count++;
    }
    if (count > 0) {
        messages_flush();
    }
    return count == REPORTS_PER_ROUND;
}
