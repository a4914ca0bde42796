/* SPDX-License-Identifier: Apache-2.0 */
#include "host/vmm/vcpu_events.h"

#include <errno.h>
#include <time.h>

#include "abi/ports.h"

#define NS_PER_MS 1000000
#define NS_PER_S 1000000000

void vcpu_events_init(struct vcpu_events *events)
{
    *events = (struct vcpu_events){0};
    pthread_mutex_init(&events->lock, NULL);
    /* A clock that nobody sets, for ticks. */
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&events->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

void vcpu_events_release(struct vcpu_events *events)
{
    pthread_mutex_destroy(&events->lock);
    pthread_cond_destroy(&events->changed);
}

void vcpu_events_signal(struct vcpu_events *events, uint32_t mask)
{
    pthread_mutex_lock(&events->lock);
    events->pending |= mask;
    pthread_mutex_unlock(&events->lock);
    /* After the unlock, or the woken thread would run into the lock at once. */
    pthread_cond_signal(&events->changed);
}

void vcpu_events_stop(struct vcpu_events *events)
{
    pthread_mutex_lock(&events->lock);
    events->stopped = true;
    pthread_cond_signal(&events->changed);
    pthread_mutex_unlock(&events->lock);
}

static struct timespec next_tick(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_nsec += (long)WAIT_TICK_MS * NS_PER_MS;
    if (time.tv_nsec >= NS_PER_S) {
        time.tv_nsec -= NS_PER_S;
        time.tv_sec++;
    }
    return time;
}

void vcpu_events_wait(struct vcpu_events *events, uint32_t mask)
{
    bool has_end = (mask & WAIT_TICK) != 0;
    struct timespec end = has_end ? next_tick() : (struct timespec){0};
    bool has_ended = false;
    pthread_mutex_lock(&events->lock);
    while ((events->pending & mask) == 0 && !events->stopped && !has_ended) {
        if (has_end) {
            has_ended = pthread_cond_timedwait(&events->changed, &events->lock, &end) == ETIMEDOUT;
        } else {
            pthread_cond_wait(&events->changed, &events->lock);
        }
    }
    events->pending &= ~mask;
    pthread_mutex_unlock(&events->lock);
}
