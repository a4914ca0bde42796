/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways to move a job's data between host and guest. A machine has one of them; boot_info.transport says which.
 * What belongs to one of them only (registers, commands, rings) is in a header of its name in this folder.
 */
#ifndef INSTAR_ABI_TRANSPORTS_TRANSPORT_ID_H
#define INSTAR_ABI_TRANSPORTS_TRANSPORT_ID_H

enum transport_id {
    TRANSPORT_VIRTIO_BLK = 1,  /* a disk each for input and output (abi/virtio_blk.h) */
    TRANSPORT_DIRECT = 2,      /* input and output as memory */
    TRANSPORT_PIO = 3,         /* through an I/O port */
    TRANSPORT_MMIO = 4,        /* through a device register */
    TRANSPORT_CUSTOM_MMIO = 5, /* registers and two buffers */
    TRANSPORT_SECTOR_PIPE = 6, /* regions of a virtio-blk disk */
    TRANSPORT_SECTOR_RING = 7, /* a ring buffer of sectors on a virtio-blk disk */
    TRANSPORT_HYPERCALL = 8,   /* register-sized calls */
    TRANSPORT_VSOCK = 10,      /* virtio-vsock */
    TRANSPORT_CONSOLE = 11,    /* virtio-console with ports */
    TRANSPORT_IVSHMEM = 12,    /* memory shared with another machine, which has the input */
    TRANSPORT_VIRTIOFS = 13,   /* FUSE over virtio */
};

/*
 * Bits of boot_transport.variant that mean the same for all that have them: how a guest waits. Without either, it polls
 * for a while, and sleeps then by PORT_WAIT. Values below them are each transport's own.
 */
#define TRANSPORT_VARIANT_INTERRUPTS 0x100u /* not at all: it sleeps until an interrupt (BOOT_TRANSPORT_INTERRUPTS) */
#define TRANSPORT_VARIANT_POLLING 0x200u    /* without end */

#endif
