/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread of its own that helps the disks of a machine with COPY, one at a time (host/backends/backend_copy.h). It
 * exists from the start, as the jail lets nobody make another one, and sleeps until there is work.
 */
#ifndef INSTAR_HOST_DEVICES_COPY_HELPER_H
#define INSTAR_HOST_DEVICES_COPY_HELPER_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"
#include "host/backends/backend_copy.h"
#include "host/devices/io_thread.h"

struct copy_helper {
    struct backend_copy_helper helper; /* first */
    int kick_fd;
    pthread_mutex_t lock;
    pthread_cond_t finished;
    void (*work)(void *argument); /* NULL: none */
    void *argument;
};

/* *helper lives as long as the thread, which is the caller's, and not started yet. */
bool copy_helper_init(struct copy_helper *helper, struct io_thread *thread, struct error *error);
/* The thread has stopped. */
void copy_helper_release(struct copy_helper *helper);

#endif
