/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/signals.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* SIGPIPE is one of them: whoever reads the progress went away, which ends a program by default. */
static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};

static void ending_set(sigset_t *ret_set)
{
    sigemptyset(ret_set);
    for (size_t i = 0; i < ARRAY_COUNT(ending_signals); i++) {
        /* An ignored signal that is blocked would arrive after all. */
        struct sigaction action;
        if (sigaction(ending_signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
            sigaddset(ret_set, ending_signals[i]);
        }
    }
}

bool signals_hold(struct signals *ret_signals, struct error *error)
{
    struct signals signals;
    ending_set(&signals.held);
    /* Also when it was ignored: the child gets its signals by its own rules, and an answer does no harm. */
    sigaddset(&signals.held, SIGNALS_PROGRESS);
    sigprocmask(SIG_BLOCK, &signals.held, &signals.old_mask);
    signals.fd = signalfd(-1, &signals.held, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals.fd < 0) {
        error_fill(error, ERROR_HOST, NULL, "cannot receive signals: %s", strerror(errno));
        sigprocmask(SIG_SETMASK, &signals.old_mask, NULL);
        return false;
    }
    /* Who started us may ignore SIGCHLD; then the kernel keeps no exit status. */
    struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigaction(SIGCHLD, &by_default, &signals.old_child_action);
    /* A file size limit shall be an error of the write, EFBIG. The child inherits this. */
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGXFSZ, &ignore, &signals.old_file_size_action);
    *ret_signals = signals;
    return true;
}

void signals_release(struct signals *signals)
{
    close(signals->fd);
    sigaction(SIGCHLD, &signals->old_child_action, NULL);
    sigaction(SIGXFSZ, &signals->old_file_size_action, NULL);
    sigprocmask(SIG_SETMASK, &signals->old_mask, NULL);
}

int signals_take(const struct signals *signals)
{
    struct signalfd_siginfo info;
    if (read(signals->fd, &info, sizeof(info)) != (ssize_t)sizeof(info)) {
        return 0;
    }
    return (int)info.ssi_signo;
}

bool signals_is_pending(void)
{
    sigset_t pending;
    if (sigpending(&pending) != 0) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_COUNT(ending_signals); i++) {
        if (sigismember(&pending, ending_signals[i]) == 1) {
            return true;
        }
    }
    return false;
}

void signals_ignore_in_child(const struct signals *signals)
{
    /* Ctrl-C goes to every process of the terminal's group: the parent decides what it means. */
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t unblocked = signals->old_mask;
    for (size_t i = 0; i < ARRAY_COUNT(ending_signals); i++) {
        sigaction(ending_signals[i], &ignore, NULL);
        sigdelset(&unblocked, ending_signals[i]);
    }
    /* The child makes its own use of this one (host/vmm/machine.c). */
    sigdelset(&unblocked, SIGNALS_PROGRESS);
    /* And of these, whatever its user's caller has blocked: a file that became shorter, and too much computed. */
    sigdelset(&unblocked, SIGBUS);
    sigdelset(&unblocked, SIGXCPU);
    sigprocmask(SIG_SETMASK, &unblocked, NULL);
}
