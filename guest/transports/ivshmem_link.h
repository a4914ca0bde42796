/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's end of what it shares with the other one (abi/transports/ivshmem.h): the two heads, and the doorbell. */
#ifndef INSTAR_GUEST_TRANSPORTS_IVSHMEM_LINK_H
#define INSTAR_GUEST_TRANSPORTS_IVSHMEM_LINK_H

#include "abi/transports/ivshmem.h"
#include "guest/transports/transport.h"

struct ivshmem_link {
    uint64_t registers_gpa;
    uint32_t ring; /* what wakes the other machine */
    uint64_t poll_ticks;
    struct ivshmem_head *own;
    const struct ivshmem_head *other; /* which changes it at any time, to anything */
};

/* Which of the two it is, the device's registers tell. */
void ivshmem_link_init(struct ivshmem_link *link, const struct boot_info *boot);

/* The other machine's head, each field read once. What it shows was written before. */
struct ivshmem_head ivshmem_link_look(const struct ivshmem_link *link);

/* Change the own head, behind all that it tells of; the other machine is woken when it wants to be. */
void ivshmem_link_set_position(struct ivshmem_link *link, uint64_t position);
void ivshmem_link_set_state(struct ivshmem_link *link, enum ivshmem_state state);
void ivshmem_link_set_echo(struct ivshmem_link *link, uint32_t echo);

/*
 * Returns when the other machine's head is no longer `seen`: polls for a while, then sleeps. Nothing in the protocol
 * bounds this wait: the host ends a job that takes too long.
 */
void ivshmem_link_wait(struct ivshmem_link *link, const struct ivshmem_head *seen);

#endif
