/* SPDX-License-Identifier: Apache-2.0 */
#include "host/vmm/start_gate.h"

void start_gate_init(struct start_gate *gate)
{
    *gate = (struct start_gate){0};
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->has_come, NULL);
    pthread_cond_init(&gate->is_opened, NULL);
}

void start_gate_release(struct start_gate *gate)
{
    pthread_mutex_destroy(&gate->lock);
    pthread_cond_destroy(&gate->has_come);
    pthread_cond_destroy(&gate->is_opened);
}

void start_gate_confine(struct start_gate *gate, enum start_role role)
{
    if (gate->confine == NULL || gate->confine(gate->context, role)) {
        return;
    }
    pthread_mutex_lock(&gate->lock);
    gate->has_failed = true;
    pthread_mutex_unlock(&gate->lock);
}

void start_gate_pass(struct start_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->waiting_count++;
    pthread_cond_broadcast(&gate->has_come);
    while (!gate->is_open) {
        pthread_cond_wait(&gate->is_opened, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
}

bool start_gate_wait(struct start_gate *gate, unsigned int count)
{
    pthread_mutex_lock(&gate->lock);
    while (gate->waiting_count < count) {
        pthread_cond_wait(&gate->has_come, &gate->lock);
    }
    bool has_failed = gate->has_failed;
    pthread_mutex_unlock(&gate->lock);
    return !has_failed;
}

void start_gate_open(struct start_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->is_open = true;
    pthread_mutex_unlock(&gate->lock);
    pthread_cond_broadcast(&gate->is_opened); /* who wakes up finds the lock free */
}
