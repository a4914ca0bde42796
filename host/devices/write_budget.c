/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/write_budget.h"

#include "base/checked.h"
#include "host/devices/write_room.h"

void write_budget_init(struct write_budget *budget, uint64_t limit_len)
{
    *budget = (struct write_budget){.limit_len = limit_len};
    pthread_mutex_init(&budget->lock, NULL);
}

void write_budget_release(struct write_budget *budget)
{
    write_disks_release(budget->disks);
    budget->disks = NULL;
    pthread_mutex_destroy(&budget->lock);
}

uint64_t write_budget_take_some(struct write_budget *budget, uint64_t len)
{
    pthread_mutex_lock(&budget->lock);
    uint64_t taken_len = budget->limit_len != 0 ? min_u64(len, budget->limit_len - budget->taken_len) : len;
    budget->taken_len += taken_len;
    pthread_mutex_unlock(&budget->lock);
    return taken_len;
}

void write_budget_give_back(struct write_budget *budget, uint64_t len)
{
    pthread_mutex_lock(&budget->lock);
    budget->taken_len -= len;
    pthread_mutex_unlock(&budget->lock);
}
