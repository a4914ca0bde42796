/* SPDX-License-Identifier: Apache-2.0 */
#include "host/vmm/vcpu_events.h"

void vcpu_events_init(struct vcpu_events *events)
{
    *events = (struct vcpu_events){0};
    pthread_mutex_init(&events->lock, NULL);
    pthread_cond_init(&events->changed, NULL);
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

void vcpu_events_wait(struct vcpu_events *events, uint32_t mask)
{
    pthread_mutex_lock(&events->lock);
    while ((events->pending & mask) == 0 && !events->stopped) {
        pthread_cond_wait(&events->changed, &events->lock);
    }
    events->pending &= ~mask;
    pthread_mutex_unlock(&events->lock);
}
