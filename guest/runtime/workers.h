/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work for all vCPUs. vCPU 0 hands out tasks and goes on; the others, if there are any, take them in order. While vCPU
 * 0 waits it works, too, so that everything also runs on one vCPU.
 */
#ifndef INSTAR_GUEST_RUNTIME_WORKERS_H
#define INSTAR_GUEST_RUNTIME_WORKERS_H

#include <stdbool.h>
#include <stdint.h>

/* Tasks that are handed out and not finished, at most. */
#define WORKERS_TASK_MAX 512u

/* The caller's own, embedded in something larger; untouched by others after it is done. */
struct worker_task {
    /* Runs on any vCPU; `vcpu` is its index, for scratch memory. Sends no messages, submits no requests. */
    void (*run)(struct worker_task *task, uint32_t vcpu);
    uint32_t is_done; /* atomic: see worker_task_is_done */
};

/* Hands a task out. Fewer than WORKERS_TASK_MAX are unfinished. */
void workers_submit(struct worker_task *task);

/* Whether a task is done: then all that it wrote can be seen. */
bool worker_task_is_done(const struct worker_task *task);

/* Runs one waiting task on this vCPU. False when none waits. */
bool workers_help(void);

/* What program_worker runs on every vCPU but 0. Sleeps when there is nothing to do for a while. */
_Noreturn void workers_run(uint32_t vcpu);

#endif
