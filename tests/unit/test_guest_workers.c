/* SPDX-License-Identifier: Apache-2.0 */
/* Workers on threads instead of vCPUs: every task runs once, and nobody sleeps while there is work. */
#include "guest/runtime/workers.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "abi/ports.h"
#include "guest/runtime/platform.h"
#include "guest/runtime/runtime.h"

#define VCPU_COUNT 4u
#define TASK_COUNT 200u
/* A lost wake-up ends the test by this. */
#define TIMEOUT_S 60u

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    bool is_woken; /* latched, as in the machine */
    uint32_t wait_count;
} vcpus[VCPU_COUNT];

static __thread uint32_t own_vcpu;
static uint32_t wake_count; /* atomic */

void platform_wait(uint32_t mask)
{
    assert_int_equal(mask, WAIT_WAKE);
    assert_int_not_equal(own_vcpu, 0);
    pthread_mutex_lock(&vcpus[own_vcpu].mutex);
    vcpus[own_vcpu].wait_count++;
    /* Now and then a wait ends for nothing, as it may. */
    while (!vcpus[own_vcpu].is_woken && vcpus[own_vcpu].wait_count % 3 != 0) {
        pthread_cond_wait(&vcpus[own_vcpu].condition, &vcpus[own_vcpu].mutex);
    }
    vcpus[own_vcpu].is_woken = false;
    pthread_mutex_unlock(&vcpus[own_vcpu].mutex);
}

void platform_wake(uint32_t vcpu)
{
    assert_in_range(vcpu, 1, VCPU_COUNT - 1);
    __atomic_fetch_add(&wake_count, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&vcpus[vcpu].mutex);
    vcpus[vcpu].is_woken = true;
    pthread_cond_signal(&vcpus[vcpu].condition);
    pthread_mutex_unlock(&vcpus[vcpu].mutex);
}

void platform_relax(void)
{
    sched_yield();
}

NO_RETURN void panic(const char *format, ...)
{
    (void)format;
    abort();
}

struct counted_task {
    struct worker_task task;
    uint32_t run_count; /* not atomic: whoever sees the task done sees this */
    uint32_t vcpu;
};

static struct counted_task tasks[TASK_COUNT];

static void count(struct worker_task *task, uint32_t vcpu)
{
    struct counted_task *counted = (struct counted_task *)task;
    assert_true(vcpu < VCPU_COUNT);
    counted->run_count++;
    counted->vcpu = vcpu;
}

static void submit_all(void)
{
    for (uint32_t i = 0; i < TASK_COUNT; i++) {
        tasks[i] = (struct counted_task){.task.run = count};
        workers_submit(&tasks[i].task);
    }
}

static void check_all(uint32_t *ret_vcpus_seen)
{
    for (uint32_t i = 0; i < TASK_COUNT; i++) {
        assert_true(worker_task_is_done(&tasks[i].task));
        assert_int_equal(tasks[i].run_count, 1);
        *ret_vcpus_seen |= 1u << tasks[i].vcpu;
    }
    assert_false(workers_help());
}

static void one_vcpu_does_everything_itself_in_order(void **state)
{
    (void)state;
    uint32_t vcpus_seen = 0;
    submit_all();
    for (uint32_t i = 0; i < TASK_COUNT; i++) {
        assert_false(worker_task_is_done(&tasks[i].task));
        assert_true(workers_help());
        assert_true(worker_task_is_done(&tasks[i].task));
    }
    check_all(&vcpus_seen);
    assert_int_equal(vcpus_seen, 1);
    assert_int_equal(wake_count, 0);
}

static void *work(void *vcpu)
{
    own_vcpu = (uint32_t)(uintptr_t)vcpu;
    workers_run(own_vcpu);
}

static void start_workers(void)
{
    for (uint32_t i = 1; i < VCPU_COUNT; i++) {
        pthread_t thread;
        pthread_mutex_init(&vcpus[i].mutex, NULL);
        pthread_cond_init(&vcpus[i].condition, NULL);
        assert_int_equal(pthread_create(&thread, NULL, work, (void *)(uintptr_t)i), 0);
        pthread_detach(thread);
    }
}

/* vCPU 0 hands out and only waits: what it does not do itself, others must. Then again with its help. */
static void every_task_runs_once_on_some_vcpu(void **state)
{
    (void)state;
    uint32_t vcpus_seen = 0;
    start_workers();
    alarm(TIMEOUT_S);
    for (uint32_t round = 0; round < 300; round++) {
        submit_all();
        if (round % 2 == 1) {
            while (workers_help()) {
            }
        }
        for (uint32_t i = 0; i < TASK_COUNT; i++) {
            while (!worker_task_is_done(&tasks[i].task)) {
                sched_yield();
            }
        }
        check_all(&vcpus_seen);
        if (round % 50 == 0) {
            usleep(20000); /* the workers go to sleep */
        }
    }
    alarm(0);
    assert_int_not_equal(vcpus_seen & ~1u, 0);
    /* Wake-ups are expensive: they are for sleepers, not for tasks. */
    assert_in_range(wake_count, 1, 300 * TASK_COUNT / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_vcpu_does_everything_itself_in_order),
        cmocka_unit_test(every_task_runs_once_on_some_vcpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
