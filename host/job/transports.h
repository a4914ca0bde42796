/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways to move a job's data, by name (instar-vmm --transport). Adding one takes its files (docs/architecture.md,
 * "Transports") and a line in the table of transports.c.
 */
#ifndef INSTAR_HOST_JOB_TRANSPORTS_H
#define INSTAR_HOST_JOB_TRANSPORTS_H

#include <stddef.h>

#include "abi/transports/transport_id.h"
#include "host/devices/transport_device.h"
#include "host/job/job.h"

struct transport {
    const char *name;
    const char *help; /* a line */
    enum transport_id id;
    uint32_t variant;     /* for the guest and the device; 0 where there is only one */
    bool runs_in_process; /* also where a process stands in for the virtual machine */
    uint32_t jail_parts;  /* enum jail_part: what the device needs on top */
    /* NULL: the job's files are virtio-blk disks of one machine, and there is nothing else. */
    const struct transport_device_operations *device;
};

extern const struct transport transports[];
extern const size_t transport_count;

/* NULL when there is none of that name. */
const struct transport *transport_find(const char *name);

/* Completions are interrupts: the machine has to have some. */
bool transport_has_interrupts(const struct transport *transport);

/* How many daemons have the job's files instead of the job; 0: none. */
unsigned int transport_daemon_count(const struct transport *transport);

/* They connect at a socket of the job's. */
bool transport_listens(const struct transport *transport);

/* They map the guest's data memory. */
bool transport_lends_memory(const struct transport *transport);

/* The one that they have shares a directory. */
bool transport_shares_directory(const struct transport *transport);

/* The job's files are virtio-blk disks. */
bool transport_has_disks(const struct transport *transport);

/* Bytes of memory between two machines, of which one reads; 0: there is one machine. */
uint64_t transport_shared_len(const struct transport *transport);

/* The job's. */
const struct transport *transport_of(const struct job *job);

#endif
