/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second machine of a job whose transport has two (transport_device_operations.shared_len): it reads the input, and
 * the other one, child_machine's own, writes the output and tells the result. Same program, same first message, a role
 * of its own in the boot information (BOOT_TRANSPORT_READER).
 *
 * It has one vCPU, one disk, debug text and control ports, but no messages: whatever it has to say it says to the other
 * machine. Its exits count for the job's limit. It ends when the other one does; when it ends before, the job fails.
 */
#ifndef INSTAR_HOST_JOB_CHILD_CHILD_PEER_H
#define INSTAR_HOST_JOB_CHILD_CHILD_PEER_H

#include "host/devices/control_port.h"
#include "host/devices/debug_port.h"
#include "host/devices/register_bank.h"
#include "host/job/job.h"
#include "host/vmm/machine.h"

struct child_peer {
    struct machine machine;
    struct register_bank bank;
    struct debug_port debug_port;
    struct control_ports control_ports;
    struct boot_transport boot_transport;
    debug_line_handler debug_line;
    void *context; /* debug_line's */
};

struct child_peer_setup {
    const struct job *job;
    const struct engine_operations *engine;
    struct machine *writer; /* the other machine, which outlives this one */
    uint64_t arena_len;
    debug_line_handler debug_line; /* NULL: nobody wants to know */
    void *context;
};

/* Makes the machine, without its disk. NULL, with an error, when it cannot be made. */
struct child_peer *child_peer_make(const struct child_peer_setup *setup, struct error *error);

/* When the disk and the transport's device are there: loads a copy of the job's program. */
bool child_peer_load(struct child_peer *peer, const struct job *job, struct error *error);

/*
 * It has ended: says why in *ret_error, which is set in any case, as it ends before the other machine. Returns when its
 * vCPU has stopped.
 */
void child_peer_explain(struct child_peer *peer, struct error *ret_error);

/* Ends it, if it runs, and waits until it has stopped. False, with its error, when it had ended badly. */
bool child_peer_stop(struct child_peer *peer, struct error *error);

/* Its disk is released already. NULL is allowed. */
void child_peer_release(struct child_peer *peer);

#endif
