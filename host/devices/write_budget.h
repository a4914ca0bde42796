/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much a job may store: one number for all of its outputs, whichever device writes; and the file systems that they
 * are on, which it does not fill (write_room.h).
 */
#ifndef INSTAR_HOST_DEVICES_WRITE_BUDGET_H
#define INSTAR_HOST_DEVICES_WRITE_BUDGET_H

#include <pthread.h>
#include <stdint.h>

struct write_disk;

/* Of all outputs. */
struct write_budget {
    pthread_mutex_t lock; /* this, and what the disks and all outputs' rooms count */
    uint64_t limit_len;   /* bytes; 0: no limit */
    uint64_t taken_len;   /* never above the limit, where there is one */
    struct write_disk *disks;
};

void write_budget_init(struct write_budget *budget, uint64_t limit_len);
void write_budget_release(struct write_budget *budget);

/* Takes up to `len` bytes, as many as the limit leaves, and returns how many. What is not stored is given back. */
uint64_t write_budget_take_some(struct write_budget *budget, uint64_t len);
void write_budget_give_back(struct write_budget *budget, uint64_t len);

#endif
