/* SPDX-License-Identifier: Apache-2.0 */
/* Moves a disk, or a part of one, from a reader to a target: until all of it is written, at the rate that is allowed.
 */
#ifndef INSTAR_GUEST_OPERATIONS_CONVERT_CONVERT_PUMP_H
#define INSTAR_GUEST_OPERATIONS_CONVERT_CONVERT_PUMP_H

#include "guest/operations/convert/convert_target.h"
#include "guest/operations/job/rate_limit.h"

struct convert_pump {
    struct io *io;
    struct reader *reader; /* which has been started */
    struct convert_target *output;
    struct progress *progress;
    struct rate_limit *rate_limit;
    uint64_t end_voff; /* of what is read */
};

MUST_CHECK bool convert_pump_run(const struct convert_pump *pump, struct error *error);

#endif
