/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gate that threads wait at after their start, until whoever made them has done what all of them must exist for:
 * the jail closes on all threads at once, and a thread on its way from the kernel to the gate makes system calls
 * that the jail forbids.
 */
#ifndef INSTAR_HOST_VMM_START_GATE_H
#define INSTAR_HOST_VMM_START_GATE_H

#include <pthread.h>
#include <stdbool.h>

struct start_gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned int waiting_count;
    bool is_open;
};

void start_gate_init(struct start_gate *gate);
void start_gate_release(struct start_gate *gate);

/* A thread's first act: waits until the gate is open. */
void start_gate_pass(struct start_gate *gate);

/* Waits until `count` threads stand at the gate, which is closed. */
void start_gate_wait(struct start_gate *gate, unsigned int count);

/* Lets everybody pass, from now on. May be called again. */
void start_gate_open(struct start_gate *gate);

#endif
