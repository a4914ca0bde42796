/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/transports/transport_kinds.h"
#include "base/attributes.h"

/* A line each. */
/* clang-format off */
static const struct transport_operations *const transports[] = {
    &virtio_blk_transport,
    &direct_transport,
    &pio_transport,
    &mmio_transport,
    &custom_mmio_transport,
    &sector_pipe_transport,
    &sector_ring_transport,
    &hypercall_transport,
    &vsock_transport,
    &console_transport,
    &virtiofs_transport,
    &ivshmem_transport,
};
/* clang-format on */

uint64_t transport_poll_ticks(const struct boot_info *boot, uint64_t usual_ticks)
{
    uint32_t variant = boot->transport.variant;
    if ((variant & TRANSPORT_VARIANT_INTERRUPTS) != 0) {
        return 0;
    }
    return (variant & TRANSPORT_VARIANT_POLLING) != 0 ? UINT64_MAX : usual_ticks;
}

/* NULL when the program does not have it. */
static const struct transport_operations *operations_find(uint32_t id)
{
    for (unsigned int i = 0; i < ARRAY_COUNT(transports); i++) {
        if (transports[i]->id == id) {
            return transports[i];
        }
    }
    return NULL;
}

NO_RETURN void transport_serve(const struct transport_setup *setup)
{
    uint32_t id = setup->boot->transport.id;
    const struct transport_operations *operations = operations_find(id);
    if (operations == NULL || operations->serve == NULL) {
        panic("this program does not know how to read for another machine over transport %u", id);
    }
    operations->serve(setup);
}

bool transport_open(const struct transport_setup *setup, struct transport **ret_transport, struct error *error)
{
    uint32_t id = setup->boot->transport.id;
    const struct transport_operations *operations = operations_find(id);
    if (operations == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "this program does not know transport %u", id);
    }
    return operations->open(setup, ret_transport, error);
}
