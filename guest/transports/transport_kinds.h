/* SPDX-License-Identifier: Apache-2.0 */
/* The transports there are, one file each; transport_kinds.c lists them. */
#ifndef INSTAR_GUEST_TRANSPORTS_TRANSPORT_KINDS_H
#define INSTAR_GUEST_TRANSPORTS_TRANSPORT_KINDS_H

#include "guest/transports/transport.h"

extern const struct transport_operations console_transport;
extern const struct transport_operations custom_mmio_transport;
extern const struct transport_operations direct_transport;
extern const struct transport_operations hypercall_transport;
extern const struct transport_operations ivshmem_transport;
extern const struct transport_operations mmio_transport;
extern const struct transport_operations pio_transport;
extern const struct transport_operations sector_pipe_transport;
extern const struct transport_operations sector_ring_transport;
extern const struct transport_operations virtio_blk_transport;
extern const struct transport_operations virtiofs_transport;
extern const struct transport_operations vsock_transport;

/* In the other machine; ivshmem_reader.c. */
NO_RETURN void ivshmem_serve(const struct transport_setup *setup);

#endif
