/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that sleeps on file descriptors and calls their handlers: one for each device. */
#ifndef INSTAR_HOST_DEVICES_IO_THREAD_H
#define INSTAR_HOST_DEVICES_IO_THREAD_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"
#include "host/vmm/start_gate.h"

/* The queues of a device, its backend, and the thread's own stop event; or groups of late devices, which are more. */
#define IO_THREAD_SOURCE_MAX 68u

/* `fd` is readable. The handler reads what makes it so. */
typedef void (*io_thread_handler)(void *context, int fd);

struct io_thread_source {
    int fd;
    io_thread_handler handler;
    void *context;
};

struct io_thread {
    pthread_t thread;
    bool is_started;
    struct start_gate *gate;
    int epoll_fd;
    int stop_fd;
    unsigned int source_count;
    struct io_thread_source sources[IO_THREAD_SOURCE_MAX];
};

bool io_thread_init(struct io_thread *thread, struct error *error);
/* Before the start only. The descriptor stays the caller's. */
bool io_thread_add(struct io_thread *thread, int fd, io_thread_handler handler, void *context, struct error *error);
/*
 * Likewise, of a socket: the handler is called when it becomes readable or writable. It reads and writes as much as it
 * can use, without waiting; what it leaves is not told again.
 */
bool io_thread_add_socket(struct io_thread *thread, int fd, io_thread_handler handler, void *context,
                          struct error *error);
/* The thread waits at the gate first. */
bool io_thread_start(struct io_thread *thread, struct start_gate *gate, struct error *error);
/* Returns when no handler runs any more, and none will. The gate is open. */
void io_thread_stop(struct io_thread *thread);
/* Stops it, too. */
void io_thread_release(struct io_thread *thread);

#endif
