/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/copy_helper.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void kick_handle(void *context, int fd)
{
    struct copy_helper *helper = context;
    eventfd_t kicks;
    eventfd_read(fd, &kicks);
    pthread_mutex_lock(&helper->lock);
    void (*work)(void *argument) = helper->work;
    void *argument = helper->argument;
    pthread_mutex_unlock(&helper->lock);
    if (work != NULL) {
        work(argument);
    }
    pthread_mutex_lock(&helper->lock);
    helper->work = NULL;
    pthread_cond_signal(&helper->finished);
    pthread_mutex_unlock(&helper->lock);
}

static bool helper_begin(struct backend_copy_helper *backend_helper, void (*work)(void *argument), void *argument)
{
    struct copy_helper *helper = (struct copy_helper *)backend_helper;
    pthread_mutex_lock(&helper->lock);
    bool is_free = helper->work == NULL;
    if (is_free) {
        helper->work = work;
        helper->argument = argument;
    }
    pthread_mutex_unlock(&helper->lock);
    if (is_free) {
        eventfd_write(helper->kick_fd, 1);
    }
    return is_free;
}

static void helper_wait(struct backend_copy_helper *backend_helper)
{
    struct copy_helper *helper = (struct copy_helper *)backend_helper;
    pthread_mutex_lock(&helper->lock);
    while (helper->work != NULL) {
        pthread_cond_wait(&helper->finished, &helper->lock);
    }
    pthread_mutex_unlock(&helper->lock);
}

bool copy_helper_init(struct copy_helper *helper, struct io_thread *thread, struct error *error)
{
    *helper = (struct copy_helper){
        .helper = {.begin = helper_begin, .wait = helper_wait},
        .kick_fd = eventfd(0, EFD_CLOEXEC),
    };
    if (helper->kick_fd < 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot make an event: %s", strerror(errno));
    }
    pthread_mutex_init(&helper->lock, NULL);
    pthread_cond_init(&helper->finished, NULL);
    if (!io_thread_add(thread, helper->kick_fd, kick_handle, helper, error)) {
        copy_helper_release(helper);
        return false;
    }
    return true;
}

void copy_helper_release(struct copy_helper *helper)
{
    close(helper->kick_fd);
    pthread_cond_destroy(&helper->finished);
    pthread_mutex_destroy(&helper->lock);
}
