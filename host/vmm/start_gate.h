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

/* What passes it. */
enum start_role {
    START_VCPU,
    START_DEVICE,
};

struct start_gate {
    pthread_mutex_t lock;
    pthread_cond_t has_come; /* one more thread waits, which is for who counts them */
    pthread_cond_t is_opened;
    unsigned int waiting_count;
    bool is_open;
    bool has_failed; /* a thread could not be confined */
    /* What each thread does first, on its way to the gate: it gives up what it does not need. NULL: nothing. Set before
     * there are threads. */
    bool (*confine)(void *context, enum start_role role);
    void *context;
};

void start_gate_init(struct start_gate *gate);
void start_gate_release(struct start_gate *gate);

/* A thread's first act: is confined. start_gate_wait tells when that fails. */
void start_gate_confine(struct start_gate *gate, enum start_role role);

/* Waits until the gate is open. */
void start_gate_pass(struct start_gate *gate);

/* Waits until `count` threads stand at the gate, which is closed. Returns false when one could not be confined. */
bool start_gate_wait(struct start_gate *gate, unsigned int count);

/* Lets everybody pass, from now on. May be called again. */
void start_gate_open(struct start_gate *gate);

#endif
