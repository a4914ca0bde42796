/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/modify/qcow2_reserve.h"

#include "base/checked.h"

void qcow2_reserve_fill(struct qcow2_reserve *reserve, uint64_t cluster, uint64_t count)
{
    reserve->next = cluster;
    reserve->end = cluster + count;
    reserve->wanted = min_u64(reserve->wanted * 2, QCOW2_RESERVE_MAX);
}

uint64_t qcow2_reserve_take(struct qcow2_reserve *reserve, uint64_t count, uint64_t *ret_cluster)
{
    uint64_t taken = min_u64(count, reserve->end - reserve->next);
    *ret_cluster = reserve->next;
    reserve->next += taken;
    return taken;
}
