/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU of the process engine is a thread of the guest's process, and a thread here that serves it: the answer to
 * its last request lets it go on, its next request ends the run.
 *
 * System calls of this file, which the VMM's jail must allow while the machine runs: ppoll, read and write on
 * eventfds, futex (FUTEX_WAKE), pidfd_send_signal; waitid in process_end.c.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/vmm/engines/process_private.h"

/* Lets the guest's thread go on: from its last request, or from the start. */
static void answer(struct process_vcpu *vcpu)
{
    struct mailbox *mailbox = vcpu->mailbox;
    if (!vcpu->request.is_write && vcpu->request.count > 0) {
        memcpy(mailbox->data, vcpu->data, (size_t)vcpu->request.width * vcpu->request.count);
    }
    vcpu->has_request = false;
    __atomic_store_n(&mailbox->state, MAILBOX_ANSWERED, __ATOMIC_RELEASE);
    syscall(SYS_futex, &mailbox->state, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Rings the doorbell that the request is a write to, if it is. */
static bool doorbell_ring(const struct process *process, const struct process_request *request)
{
    const struct bus_access *access = &request->access;
    uint32_t value;
    if (request->is_port || !access->is_write || access->width != sizeof(value)) {
        return false;
    }
    memcpy(&value, access->data, sizeof(value));
    for (unsigned int i = 0; i < process->doorbell_count; i++) {
        const struct process_doorbell *doorbell = &process->doorbells[i];
        if (doorbell->gpa == access->address && doorbell->value == value) {
            eventfd_write(doorbell->event_fd, 1);
            return true;
        }
    }
    return false;
}

enum event {
    EVENT_NONE,
    EVENT_SIGNAL,
    EVENT_REQUEST, /* or an interruption, or a guest that rings for nothing */
    EVENT_END,
};

static enum event event_wait(const struct process *process, const struct process_vcpu *vcpu)
{
    struct pollfd events[] = {
        {.fd = vcpu->event_fd, .events = POLLIN},
        {.fd = process->pidfd, .events = POLLIN},
    };
    if (ppoll(events, 2, NULL, NULL) < 0) {
        return EVENT_SIGNAL;
    }
    if (events[1].revents != 0) {
        return EVENT_END;
    }
    eventfd_t count;
    return eventfd_read(vcpu->event_fd, &count) == 0 ? EVENT_REQUEST : EVENT_NONE;
}

bool process_vcpu_run(struct engine *engine, unsigned int index, struct vcpu_exit *ret_exit, struct error *error)
{
    struct process *process = (struct process *)engine;
    struct process_vcpu *vcpu = &process->vcpus[index];
    struct vcpu_exit exit = {.kind = VCPU_EXIT_INTERRUPTED};
    if (vcpu->has_request && !vcpu->is_interrupted) {
        answer(vcpu);
    }
    /* Ends with a request, a signal, an interruption or the process; doorbells are as cheap to ring as to serve. */
    for (;;) {
        enum event event = event_wait(process, vcpu);
        if (vcpu->is_interrupted || event == EVENT_SIGNAL) {
            *ret_exit = exit;
            return true;
        }
        if (event == EVENT_END) {
            return process_end_describe(process, ret_exit, error);
        }
        if (event == EVENT_NONE || __atomic_load_n(&vcpu->mailbox->state, __ATOMIC_ACQUIRE) != MAILBOX_REQUESTED) {
            continue;
        }
        struct process_request request;
        RETURN_IF_FAILED(process_request_take(vcpu->mailbox, vcpu->data, &request, error));
        vcpu->request = request.access;
        vcpu->request.vcpu = index;
        if (doorbell_ring(process, &request)) {
            answer(vcpu);
            continue;
        }
        vcpu->has_request = true;
        exit.kind = request.is_port ? VCPU_EXIT_PORT : VCPU_EXIT_REGISTER;
        exit.access = vcpu->request;
        *ret_exit = exit;
        return true;
    }
}

/*
 * The guest's threads run whether ours do or not, so the first interruption ends their process. The eventfd makes
 * a thread that is on its way to ppoll look at the flag; when it cannot take another count, it is readable anyway.
 */
void process_vcpu_interrupt(struct engine *engine, unsigned int index)
{
    struct process *process = (struct process *)engine;
    process->vcpus[index].is_interrupted = true;
    if (process->pidfd >= 0) {
        pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
    }
    eventfd_write(process->vcpus[index].event_fd, 1);
}
