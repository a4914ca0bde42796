/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a vCPU can wait for (abi/ports.h, PORT_WAIT): a set of pending events per vCPU. Events are latched,
 * so one that is signalled before the wait is not lost.
 */
#ifndef INSTAR_HOST_VMM_VCPU_EVENTS_H
#define INSTAR_HOST_VMM_VCPU_EVENTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct vcpu_events {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t pending; /* WAIT_* bits */
    bool stopped;
};

void vcpu_events_init(struct vcpu_events *events);
void vcpu_events_release(struct vcpu_events *events);

/* Makes `mask` pending. Any thread. */
void vcpu_events_signal(struct vcpu_events *events, uint32_t mask);
/* Ends the present wait and every later one. */
void vcpu_events_stop(struct vcpu_events *events);
/* Blocks until an event of `mask` is pending, and clears these; with WAIT_TICK, not for long. Returns at once when
 * stopped. */
void vcpu_events_wait(struct vcpu_events *events, uint32_t mask);

#endif
