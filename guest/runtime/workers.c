/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks wait in a ring behind a spinlock, which is held for a few instructions. Waking a vCPU costs the waker an
 * emulated port write of 25 us or more, so a worker that runs out of tasks polls for a while before it sleeps, and a
 * sleeper is woken only for a task that no other worker is about to take.
 */
#include "guest/runtime/workers.h"

#include "abi/layout.h"
#include "abi/ports.h"
#include "guest/runtime/platform.h"
#include "guest/runtime/runtime.h"

/* Looks at the ring before a worker sleeps: some 10 to 100 us, what a wake-up costs its two sides. */
#define LOOKS_BEFORE_SLEEP 2000u

static struct {
    uint32_t lock;                      /* atomic; guards everything here */
    uint32_t sleepers[LAYOUT_VCPU_MAX]; /* the first sleeper_count are vCPUs that sleep, or are about to */
    uint32_t sleeper_count;
    uint32_t poller_count; /* workers that look for a task */
    struct worker_task *tasks[WORKERS_TASK_MAX];
    uint32_t first; /* the next task to be taken; counts up modulo 2^32 */
    /* Written under the lock, and read without it by who polls. */
    uint32_t waiting_count __attribute__((aligned(64)));
} ring;

static void lock(void)
{
    while (__atomic_exchange_n(&ring.lock, 1, __ATOMIC_ACQUIRE) != 0) { /* ends: no holder waits for anything */
        platform_relax();
    }
}

static void unlock(void)
{
    __atomic_store_n(&ring.lock, 0, __ATOMIC_RELEASE);
}

void workers_submit(struct worker_task *task)
{
    uint32_t woken = 0; /* vCPU 0 is no worker */
    task->is_done = 0;
    lock();
    uint32_t waiting_count = ring.waiting_count;
    if (waiting_count >= WORKERS_TASK_MAX) {
        panic("more than %u tasks wait", WORKERS_TASK_MAX);
    }
    ring.tasks[(ring.first + waiting_count) % WORKERS_TASK_MAX] = task;
    __atomic_store_n(&ring.waiting_count, waiting_count + 1, __ATOMIC_RELAXED);
    if (ring.sleeper_count > 0 && waiting_count + 1 > ring.poller_count) {
        woken = ring.sleepers[--ring.sleeper_count];
        ring.poller_count++;
    }
    unlock();
    if (woken != 0) {
        platform_wake(woken);
    }
}

/* The next task, or NULL. A worker that gets one no longer polls. */
static struct worker_task *take(bool is_poller)
{
    struct worker_task *task = NULL;
    if (__atomic_load_n(&ring.waiting_count, __ATOMIC_RELAXED) == 0) {
        return NULL;
    }
    lock();
    if (ring.waiting_count > 0) {
        task = ring.tasks[ring.first % WORKERS_TASK_MAX];
        ring.first++;
        __atomic_store_n(&ring.waiting_count, ring.waiting_count - 1, __ATOMIC_RELAXED);
        ring.poller_count -= is_poller ? 1 : 0;
    }
    unlock();
    return task;
}

static void run(struct worker_task *task, uint32_t vcpu)
{
    task->run(task, vcpu);
    __atomic_store_n(&task->is_done, 1, __ATOMIC_RELEASE); /* from here on it is the submitter's */
}

bool worker_task_is_done(const struct worker_task *task)
{
    return __atomic_load_n(&task->is_done, __ATOMIC_ACQUIRE) != 0;
}

bool workers_help(void)
{
    struct worker_task *task = take(false);
    if (task == NULL) {
        return false;
    }
    run(task, 0);
    return true;
}

/* Sleeps until somebody wakes this poller up, unless a task waits already. It polls again in the end. */
static void poller_sleep(uint32_t vcpu)
{
    lock();
    bool is_asleep = ring.waiting_count == 0;
    if (is_asleep) {
        ring.sleepers[ring.sleeper_count++] = vcpu;
        ring.poller_count--;
    }
    unlock();
    while (is_asleep) { /* ends when workers_submit takes this vCPU off the list; a wait may end earlier */
        platform_wait(WAIT_WAKE);
        lock();
        is_asleep = false;
        for (uint32_t i = 0; i < ring.sleeper_count; i++) {
            is_asleep = is_asleep || ring.sleepers[i] == vcpu;
        }
        unlock();
    }
}

_Noreturn void workers_run(uint32_t vcpu)
{
    uint32_t looks_left = 0; /* many jobs have no task at all: asleep from the start */
    lock();
    ring.poller_count++;
    unlock();
    for (;;) {
        struct worker_task *task = take(true);
        if (task != NULL) {
            run(task, vcpu);
            lock();
            ring.poller_count++;
            unlock();
            looks_left = LOOKS_BEFORE_SLEEP;
        } else if (looks_left > 0) {
            looks_left--;
            platform_relax();
        } else {
            poller_sleep(vcpu);
            looks_left = LOOKS_BEFORE_SLEEP;
        }
    }
}
