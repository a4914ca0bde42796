/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What moves a job's data when virtio-blk disks do not: one device for input and output together. host/job/transports.c
 * lists them; each is a file in this folder, with its counterpart in guest/transports and its numbers in
 * abi/transports.
 *
 * The guest is hostile: each length, address, index and state that it gives is read once and checked. What breaks the
 * device's rules ends the machine (machine_end), or fails the access (bus.h), with an error that names the device; what
 * only fails, as a read of a broken disk does, is answered.
 */
#ifndef INSTAR_HOST_DEVICES_TRANSPORT_DEVICE_H
#define INSTAR_HOST_DEVICES_TRANSPORT_DEVICE_H

#include "abi/boot_info.h"
#include "host/devices/io_thread.h"
#include "host/devices/register_bank.h"
#include "host/devices/transport_file.h"
#include "host/vmm/machine.h"

struct transport_device;

/* Which socket is whose. */
enum transport_socket {
    TRANSPORT_SOCKET_INPUT, /* a daemon that serves the input */
    TRANSPORT_SOCKET_OUTPUT,
    TRANSPORT_SOCKET_SHARE,    /* one that shares a directory with both */
    TRANSPORT_SOCKET_LISTENER, /* no daemon's: where a program connects to the device */
    TRANSPORT_SOCKET_COUNT,
};

struct transport_device_setup {
    struct machine *machine;
    struct transport_file *input; /* the caller's, as long as the device lives; their backends are open */
    struct transport_file *output;
    struct io_thread *thread;     /* not started yet: for what the device has to wait for */
    struct io_thread *far_thread; /* likewise, for what stands at the far end of a device's sockets */
    struct register_bank *bank;   /* of virtio-mmio register pages; those of the first two devices are free */
    bool use_ioeventfd;
    uint32_t variant;           /* the transport's own */
    int first_socket_fd;        /* the numbers that connections to them get, which are free: this one and up */
    int listener_fd;            /* of TRANSPORT_SOCKET_LISTENER; the device takes it over, also when it fails */
    const char *const *sockets; /* of daemons, for a transport whose files they have; input and output are NULL then */
    /* Tells the user how much of the input was dealt with, for transports that carry progress of their own. Any thread.
     */
    void (*progress)(void *context, uint64_t done_len, uint64_t total_len);
    void *context; /* progress's */
    /* Where the device says what the guest has to know; id, variant and flags are set. */
    struct boot_transport *boot;
    struct machine *reader; /* the other machine, where there are two; `input` and `output` are NULL then */
    struct boot_transport *reader_boot;
};

struct transport_device_operations {
    /*
     * Other processes have the files, which the job does not open: so many of them, each behind a socket, serve as many
     * devices of the machine. 0: the files are the job's.
     */
    unsigned int daemon_count;
    /* There is one, and it has a directory: what the user calls input and output are names there. */
    bool shares_directory;
    /* Instead of being behind a socket each, programs connect at one of the job's (TRANSPORT_SOCKET_LISTENER). */
    bool listens;
    /* They are given the guest's data memory, as a file. */
    bool lends_memory;
    /*
     * The input is read in a machine of its own, and written in the other one: each has its file as a virtio-blk disk,
     * and the device lets them share so many bytes of memory. 0: there is one machine.
     */
    uint64_t shared_len;
    /*
     * Puts the device into the machine, before it is loaded: buses, doorbells, memory (machine_add_window). Also
     * connects what has to be connected: afterwards the jail closes.
     */
    bool (*make)(const struct transport_device_setup *setup, struct transport_device **ret_device, struct error *error);
    void (*release)(struct transport_device *device);
};

/* The part that all of them share; each one's own struct begins with it. */
struct transport_device {
    const struct transport_device_operations *operations;
};

#endif
