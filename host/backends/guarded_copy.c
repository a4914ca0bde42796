/* SPDX-License-Identifier: Apache-2.0 */
/* Copies that survive SIGBUS: the handler jumps back out of the copy. */
#include "host/backends/guarded_copy.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

/* The copy that the thread is in, read by the handler on the same thread. */
struct guard {
    sigjmp_buf return_point;
    uintptr_t mapping;
    size_t mapping_len; /* 0: in no copy */
};

static _Thread_local struct guard guard;

/* Who handled SIGBUS before us; written under the mutex before our handler is installed. */
static struct sigaction previous;
static pthread_mutex_t install_mutex = PTHREAD_MUTEX_INITIALIZER;

/*
 * Whether a jump out of the handler has to restore the signal mask. Saving that costs a system call for each copy, and
 * SA_NODEFER leaves the mask alone; but the thread sanitizer calls handlers from its own, with all signals blocked.
 */
#ifdef __SANITIZE_THREAD__
#define SAVES_SIGNAL_MASK 1
#else
#define SAVES_SIGNAL_MASK 0
#endif

static void pass_on(int signal_number, siginfo_t *information, void *context)
{
    if ((previous.sa_flags & SA_SIGINFO) != 0) {
        previous.sa_sigaction(signal_number, information, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(signal_number);
    } else {
        /* After the return the faulting instruction faults again, now without us; a sent signal is sent again. */
        sigaction(SIGBUS, &previous, NULL);
        if (information->si_code <= 0) {
            raise(signal_number);
        }
    }
}

static void handle(int signal_number, siginfo_t *information, void *context)
{
    uintptr_t address = (uintptr_t)information->si_addr;
    /* si_code > 0: from the kernel, about an address; anyone may send the rest. */
    if (information->si_code > 0 && guard.mapping_len > 0 && address - guard.mapping < guard.mapping_len) {
        siglongjmp(guard.return_point, 1);
    }
    pass_on(signal_number, information, context);
}

int guarded_copy_install(void)
{
    int result = 0;
    struct sigaction current;
    pthread_mutex_lock(&install_mutex);
    if (sigaction(SIGBUS, NULL, &current) != 0) {
        result = errno;
    } else if ((current.sa_flags & SA_SIGINFO) == 0 || current.sa_sigaction != handle) {
        /* NODEFER: the handler is left by a jump that need not restore the signal mask, so it must not change it. */
        struct sigaction ours = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_NODEFER};
        previous = current;
        result = sigaction(SIGBUS, &ours, NULL) == 0 ? 0 : errno;
    }
    pthread_mutex_unlock(&install_mutex);
    return result;
}

bool guarded_copy(void *target, const void *source, size_t len, const void *mapping, size_t mapping_len)
{
    if (sigsetjmp(guard.return_point, SAVES_SIGNAL_MASK) != 0) {
        guard.mapping_len = 0;
        return false;
    }
    guard.mapping = (uintptr_t)mapping;
    guard.mapping_len = mapping_len;
    /* The compiler must not move the copy out of the guarded stretch. */
    atomic_signal_fence(memory_order_seq_cst);
    memcpy(target, source, len);
    atomic_signal_fence(memory_order_seq_cst);
    guard.mapping_len = 0;
    return true;
}
