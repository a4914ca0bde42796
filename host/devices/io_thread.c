/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/io_thread.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static bool source_watch(struct io_thread *thread, int fd, uint32_t events, struct io_thread_source *source,
                         struct error *error)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(thread->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot watch a file descriptor: %s", strerror(errno));
    }
    return true;
}

bool io_thread_init(struct io_thread *thread, struct error *error)
{
    *thread = (struct io_thread){.epoll_fd = epoll_create1(EPOLL_CLOEXEC), .stop_fd = eventfd(0, EFD_CLOEXEC)};
    if (thread->epoll_fd < 0 || thread->stop_fd < 0) {
        error_fill(error, ERROR_HOST, NULL, "cannot make an event queue: %s", strerror(errno));
    } else if (source_watch(thread, thread->stop_fd, EPOLLIN, NULL, error)) {
        return true;
    }
    io_thread_release(thread);
    return false;
}

static struct io_thread_source *source_make(struct io_thread *thread, int fd, io_thread_handler handler, void *context)
{
    assert(!thread->is_started && thread->source_count < IO_THREAD_SOURCE_MAX);
    struct io_thread_source *source = &thread->sources[thread->source_count++];
    *source = (struct io_thread_source){fd, handler, context};
    return source;
}

bool io_thread_add(struct io_thread *thread, int fd, io_thread_handler handler, void *context, struct error *error)
{
    return source_watch(thread, fd, EPOLLIN, source_make(thread, fd, handler, context), error);
}

bool io_thread_add_socket(struct io_thread *thread, int fd, io_thread_handler handler, void *context,
                          struct error *error)
{
    return source_watch(thread, fd, EPOLLIN | EPOLLOUT | EPOLLET, source_make(thread, fd, handler, context), error);
}

static void *io_thread_loop(void *argument)
{
    struct io_thread *thread = argument;
    start_gate_confine(thread->gate, START_DEVICE);
    start_gate_pass(thread->gate);
    for (;;) {
        struct epoll_event events[IO_THREAD_SOURCE_MAX + 1];
        int count = epoll_wait(thread->epoll_fd, events, IO_THREAD_SOURCE_MAX + 1, -1);
        for (int i = 0; i < count; i++) {
            struct io_thread_source *source = events[i].data.ptr;
            if (source == NULL) {
                return NULL;
            }
            source->handler(source->context, source->fd);
        }
    }
}

bool io_thread_start(struct io_thread *thread, struct start_gate *gate, struct error *error)
{
    thread->gate = gate;
    int failure = pthread_create(&thread->thread, NULL, io_thread_loop, thread);
    if (failure != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot start a thread: %s", strerror(failure));
    }
    thread->is_started = true;
    return true;
}

void io_thread_stop(struct io_thread *thread)
{
    if (thread->is_started) {
        eventfd_write(thread->stop_fd, 1);
        pthread_join(thread->thread, NULL);
        thread->is_started = false;
    }
}

void io_thread_release(struct io_thread *thread)
{
    io_thread_stop(thread);
    if (thread->epoll_fd >= 0) {
        close(thread->epoll_fd);
    }
    if (thread->stop_fd >= 0) {
        close(thread->stop_fd);
    }
}
