/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/line_budget.h"

uint64_t line_budget_max(const struct job_limits *limits, uint64_t default_max)
{
    if (limits->line_count == UINT64_MAX) {
        return default_max;
    }
    return limits->line_count == 0 ? UINT64_MAX : limits->line_count;
}

enum line_verdict line_budget_take(struct line_budget *budget)
{
    if (budget->used < budget->max) {
        budget->used++;
        return LINE_PRINTED;
    }
    bool is_first = budget->used == budget->max && budget->max != UINT64_MAX;
    budget->used += is_first ? 1 : 0;
    return is_first ? LINE_FIRST_LEFT_OUT : LINE_LEFT_OUT;
}
