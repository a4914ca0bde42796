/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/transports.h"

#include <string.h>

#include "abi/transports/data_register.h"
#include "abi/transports/direct.h"
#include "abi/transports/vsock.h"
#include "base/attributes.h"
#include "host/devices/console_ports_device.h"
#include "host/devices/custom_mmio_device.h"
#include "host/devices/data_register_device.h"
#include "host/devices/direct_window.h"
#include "host/devices/ivshmem_device.h"
#include "host/devices/register_calls.h"
#include "host/devices/sector_pipe_device.h"
#include "host/devices/sector_ring_device.h"
#include "host/devices/vhost_user_blk.h"
#include "host/devices/virtiofs_device.h"
#include "host/devices/vsock_device.h"
#include "host/devices/vsock_socket.h"
#include "host/jail/jail.h"

/* The first one is the default. A change to one moves no other line. */
/* clang-format off */
const struct transport transports[] = {
    {"virtio-blk", "a virtio-blk disk each for input and output (default)", TRANSPORT_VIRTIO_BLK, 0, true, 0, NULL},
    {"irqfd", "virtio-blk disks; completions are interrupts, which the guest sleeps for", TRANSPORT_VIRTIO_BLK,
     TRANSPORT_VARIANT_INTERRUPTS, false, 0, NULL},
    {"virtio-blk-polling", "virtio-blk disks; completions are polled, without end", TRANSPORT_VIRTIO_BLK,
     TRANSPORT_VARIANT_POLLING, true, 0, NULL},
    {"direct", "files up to 1 GiB as memory of the guest's; an exit when the output is complete", TRANSPORT_DIRECT,
     DIRECT_VARIANT_PLAIN, false, 0, &direct_device},
    {"direct-doorbell", "the same, completed by an ioeventfd", TRANSPORT_DIRECT, DIRECT_VARIANT_DOORBELL, false, 0,
     &direct_device},
    {"direct-progress", "like direct, with progress by coalesced writes to port 0x80", TRANSPORT_DIRECT,
     DIRECT_VARIANT_PROGRESS, false, 0, &direct_device},
    {"pio-single", "through an I/O port, an instruction for every 4 bytes", TRANSPORT_PIO, PIO_VARIANT_SINGLE, true, 0,
     &pio_device},
    {"pio-string", "through an I/O port by string instructions, writes coalesced", TRANSPORT_PIO, PIO_VARIANT_STRING,
     true, 0, &pio_device},
    {"mmio", "through a device register, 8 bytes at a time", TRANSPORT_MMIO, 0, false, 0, &mmio_device},
    {"custom-mmio", "registers, two buffers, a doorbell; completion is polled", TRANSPORT_CUSTOM_MMIO, 0, false, 0,
     &custom_mmio_device},
    {"custom-mmio-irqfd", "the same; completion is an interrupt", TRANSPORT_CUSTOM_MMIO, TRANSPORT_VARIANT_INTERRUPTS,
     false, 0, &custom_mmio_device},
    {"pipe", "regions of a virtio-blk disk in memory, and a sector for commands", TRANSPORT_SECTOR_PIPE, 0, true, 0,
     &sector_pipe_device},
    {"ring", "rings of slots on a virtio-blk disk in memory; a stream", TRANSPORT_SECTOR_RING, 0, true, 0,
     &sector_ring_device},
    {"hypercall", "calls by registers, 64 bytes each, trapped by a port", TRANSPORT_HYPERCALL, 0, false, 0,
     &register_calls_device},
    {"vhost-user-blk", "virtio-blk disks that other processes serve (--vhost-user-input, --vhost-user-output)",
     TRANSPORT_VIRTIO_BLK, 0, false, JAIL_DAEMONS, &vhost_user_blk_device},
    {"vsock", "virtio-vsock, a connection each for input and output; streams", TRANSPORT_VSOCK, VSOCK_VARIANT_STREAM,
     true, JAIL_SOCKETS, &vsock_device},
    {"vsock-seqpacket", "the same, of messages", TRANSPORT_VSOCK, VSOCK_VARIANT_SEQPACKET, true, JAIL_SOCKETS,
     &vsock_device},
    {"vsock-socket", "virtio-vsock, whose connections end in other programs (--vsock-socket)", TRANSPORT_VSOCK,
     VSOCK_VARIANT_STREAM, true, JAIL_SOCKETS, &vsock_socket_device},
    {"console", "virtio-console, a port each for input and output; streams", TRANSPORT_CONSOLE, 0, true, 0,
     &console_ports_device},
    {"virtiofs", "files of a directory that another process shares (--virtiofs)", TRANSPORT_VIRTIOFS, 0, false,
     JAIL_DAEMONS, &virtiofs_device},
    {"ivshmem", "two machines, one reads and one writes, with memory and doorbells between them", TRANSPORT_IVSHMEM, 0,
     false, 0, &ivshmem_device},
};
/* clang-format on */

_Static_assert(TRANSPORT_SOCKET_COUNT == JOB_SOCKET_MAX, "a job has the sockets that transports may want");

const size_t transport_count = ARRAY_COUNT(transports);

const struct transport *transport_find(const char *name)
{
    for (size_t i = 0; i < transport_count; i++) {
        if (strcmp(transports[i].name, name) == 0) {
            return &transports[i];
        }
    }
    return NULL;
}

unsigned int transport_daemon_count(const struct transport *transport)
{
    return transport->device != NULL ? transport->device->daemon_count : 0;
}

bool transport_shares_directory(const struct transport *transport)
{
    return transport->device != NULL && transport->device->shares_directory;
}

bool transport_listens(const struct transport *transport)
{
    return transport->device != NULL && transport->device->listens;
}

bool transport_lends_memory(const struct transport *transport)
{
    return transport->device != NULL && transport->device->lends_memory;
}

uint64_t transport_shared_len(const struct transport *transport)
{
    return transport->device != NULL ? transport->device->shared_len : 0;
}

bool transport_has_disks(const struct transport *transport)
{
    return transport->device == NULL || transport->device->shared_len > 0;
}

const struct transport *transport_of(const struct job *job)
{
    return job->transport != NULL ? job->transport : &transports[0];
}

bool transport_has_interrupts(const struct transport *transport)
{
    return (transport->variant & TRANSPORT_VARIANT_INTERRUPTS) != 0;
}
