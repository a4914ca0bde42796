/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine of a job, assembled: memory, vCPUs, ports, one virtio-blk device per image, each on its backend. With
 * some transports there is another one, which has the input (child_peer.h).
 */
#ifndef INSTAR_HOST_JOB_CHILD_CHILD_MACHINE_H
#define INSTAR_HOST_JOB_CHILD_CHILD_MACHINE_H

#include "host/devices/control_port.h"
#include "host/devices/copy_helper.h"
#include "host/devices/debug_port.h"
#include "host/devices/message_port.h"
#include "host/devices/register_bank.h"
#include "host/devices/transport_device.h"
#include "host/devices/virtio_blk_device.h"
#include "host/devices/virtio_console_device.h"
#include "host/job/child/child.h"
#include "host/job/child/child_peer.h"
#include "host/job/grant.h"
#include "host/vmm/machine.h"

struct child_device {
    char name[20]; /* for the guest and for messages */
    char *path;
    struct backend *backend; /* NULL after the image was closed */
    struct virtio_blk blk;
    bool has_blk;               /* false: a transport of another kind has the file */
    struct transport_file file; /* for that one */
};

/*
 * Inputs and the first outputs have I/O threads of their own, unless there are many inputs, then only the first ones
 * have; all other devices, of which most jobs have none, share one; copies have a helper.
 */
#define CHILD_THREAD_MAX (JOB_OWN_INPUT_MAX + JOB_OWN_OUTPUT_MAX + 2u)

/* Devices without a thread of their own that are kicked at one doorbell. */
struct child_late_group {
    struct child_machine *child;
    unsigned int number; /* of the bank's */
};

struct child_machine {
    const struct job *job;
    struct machine machine;
    struct child_peer *reader; /* the machine that has the input; NULL: there is only one */
    struct message_port message_port;
    struct debug_port debug_port;
    struct control_ports control_ports;
    unsigned int thread_count;
    struct io_thread threads[CHILD_THREAD_MAX];
    struct register_bank bank;
    struct child_late_group late_groups[LAYOUT_LATE_GROUP_MAX];
    unsigned int image_count;                     /* devices that have an image from the start */
    unsigned int own_count;                       /* of those, the first so many have a thread each */
    unsigned int daemon_count;                    /* devices that other processes have, instead of images */
    unsigned int device_count;                    /* late ones included */
    _Atomic unsigned int attached_count;          /* the first so many devices have an image */
    struct child_device *devices[JOB_DEVICE_MAX]; /* made when their image comes */
    struct virtio_blk_peers peers;
    struct write_budget write_budget; /* of all outputs */
    struct copy_helper copy_helper;
    bool has_copy_helper;
    struct virtio_console console;
    bool has_console;
    struct transport_device *transport; /* NULL: the images are virtio-blk disks */
    struct boot_transport boot_transport;
};

struct child_machine_handlers {
    message_handler message;
    debug_line_handler debug_line;
    void (*flush)(void *context); /* messages so far shall reach the parent now */
    void *context;
};

/*
 * Builds the machine of `job` and loads its program. *child is zero, and large: allocate it. On failure nothing is
 * left, and the images are closed.
 */
bool child_machine_init(struct child_machine *child, const struct job *job, const struct child_ties *ties,
                        const struct child_machine_handlers *handlers, struct error *error);

/*
 * Starts the threads of devices and vCPUs, which wait until machine_open_gate. When it fails, the machine has ended.
 */
bool child_machine_start(struct child_machine *child, struct error *error);
/* What each of them does first (host/vmm/start_gate.h); before the start. */
void child_machine_confine(struct child_machine *child, bool (*confine)(void *context, enum start_role role),
                           void *context);
/* Waits until all of them stand at the gate, and protects what the engine shares with the kernel (machine_seal). */
bool child_machine_wait_threads(struct child_machine *child, struct error *error);
void child_machine_open_gate(struct child_machine *child);

/* Handles the writes that the kernel coalesced. */
void child_machine_drain_writes(struct child_machine *child);

/* Readable once the machine that has the input has ended, which must then be told; -1: there is only one machine. */
int child_machine_reader_end_fd(const struct child_machine *child);
/* It ended first: so ends the other one. */
void child_machine_reader_ended(struct child_machine *child);

/*
 * Attaches the next late device to a granted file, and tells the guest; or tells it of the refusal. Takes file_fd
 * over, which is -1 when there is none.
 */
bool child_machine_grant(struct child_machine *child, const struct grant *grant, int file_fd, struct error *error);

/* Waits for the vCPUs of a machine that has ended, and for its devices. False, with its error, when it ended badly. */
bool child_machine_stop(struct child_machine *child, struct error *error);

/* Closes the images; `keep` when the output is wanted. Fails when what was written cannot be kept. */
bool child_machine_close_images(struct child_machine *child, bool keep, struct error *error);

/* Describes the first operation on an image that failed, in *ret_failure; false when none did. */
bool child_machine_failure(struct child_machine *child, struct error *ret_failure);

void child_machine_release(struct child_machine *child);

#endif
