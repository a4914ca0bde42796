/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/copy/copy_plan.h"

#include "abi/virtio_blk.h"
#include "base/checked.h"

void copy_plan_init(struct copy_plan *plan, uint64_t input_len, uint64_t sector_len)
{
    *plan = (struct copy_plan){
        .input_len = input_len,
        .sector_len = sector_len,
        .end_off = round_up(input_len, VIRTIO_BLK_SECTOR_LEN),
    };
}

void copy_plan_add_extent(struct copy_plan *plan, enum copy_kind kind, uint64_t end_off)
{
    plan->kind = kind;
    if (end_off >= plan->input_len) {
        plan->extent_end_off = plan->end_off;
    } else if (kind == COPY_DATA) {
        plan->extent_end_off = min_u64(round_up(end_off, plan->sector_len), plan->end_off);
    } else {
        /* Data begins here: its sector is data as a whole. Rounding may leave nothing of the hole. */
        plan->extent_end_off = round_down(end_off, plan->sector_len);
    }
}

bool copy_plan_wants_extent(const struct copy_plan *plan)
{
    return plan->next_off >= plan->extent_end_off && !copy_plan_is_finished(plan);
}

bool copy_plan_is_finished(const struct copy_plan *plan)
{
    return plan->next_off == plan->end_off;
}

bool copy_plan_next(struct copy_plan *plan, uint64_t data_len, uint64_t hole_len, struct copy_piece *ret_piece)
{
    if (plan->next_off >= plan->extent_end_off) {
        return false;
    }
    uint64_t len = plan->extent_end_off - plan->next_off;
    if (plan->kind == COPY_DATA) {
        len = min_u64(len, data_len - (plan->next_off & (data_len - 1)));
    } else {
        len = min_u64(len, hole_len);
    }
    *ret_piece = (struct copy_piece){.kind = plan->kind, .off = plan->next_off, .len = len};
    plan->next_off += len;
    return true;
}
