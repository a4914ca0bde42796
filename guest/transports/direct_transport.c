/* SPDX-License-Identifier: Apache-2.0 */
/* The whole input and the whole output as memory (abi/transports/direct.h): reading and writing is copying. */
#include <string.h>

#include "abi/ports.h"
#include "abi/transports/direct.h"
#include "guest/runtime/platform.h"
#include "guest/transports/transport_kinds.h"

struct direct {
    struct transport transport; /* first */
    const uint8_t *input;
    uint8_t *output;
    struct direct_control *control;
    uint64_t doorbell_gpa;
    uint32_t variant;
    uint32_t flags;
    uint8_t percent; /* reported */
};

static bool direct_open(const struct transport_setup *setup, struct transport **ret_transport, struct error *error)
{
    const struct boot_transport *boot = &setup->boot->transport;
    struct direct *direct = arena_allocate(setup->arena, sizeof(*direct), _Alignof(struct direct));
    if (direct == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for a transport");
    }
    direct->control = (struct direct_control *)(uintptr_t)boot->windows[2].gpa;
    direct->transport = (struct transport){
        .operations = &direct_transport,
        .input_len = direct->control->input_len,
        .is_output_zeroed = true,
    };
    direct->input = (const uint8_t *)(uintptr_t)boot->windows[0].gpa;
    direct->output = (uint8_t *)(uintptr_t)boot->windows[1].gpa;
    direct->doorbell_gpa = boot->registers_gpa;
    direct->variant = boot->variant;
    *ret_transport = &direct->transport;
    return true;
}

static bool direct_read(struct transport *transport, uint64_t off, void *data, uint64_t len, struct error *error)
{
    (void)error;
    memcpy(data, ((struct direct *)transport)->input + off, (size_t)len);
    return true;
}

static bool direct_write(struct transport *transport, uint64_t off, const void *data, uint64_t len, struct error *error)
{
    (void)error;
    memcpy(((struct direct *)transport)->output + off, data, (size_t)len);
    return true;
}

/* The file is written at the end: so is this. */
static bool direct_flush(struct transport *transport, struct error *error)
{
    (void)error;
    ((struct direct *)transport)->flags |= DIRECT_FLUSH;
    return true;
}

static void direct_progress(struct transport *transport, uint64_t done_len)
{
    struct direct *direct = (struct direct *)transport;
    uint8_t percent = (uint8_t)(done_len * DIRECT_PERCENT_MAX / transport->input_len);
    if (direct->variant == DIRECT_VARIANT_PROGRESS && percent != direct->percent) {
        direct->percent = percent;
        platform_port_write8(PORT_PROGRESS, percent);
    }
}

static bool direct_finish(struct transport *transport, struct error *error)
{
    struct direct *direct = (struct direct *)transport;
    struct direct_control *control = direct->control;
    control->output_len = transport->input_len;
    control->flags = direct->flags;
    if (direct->variant == DIRECT_VARIANT_DOORBELL) {
        platform_register_write32(direct->doorbell_gpa, DIRECT_SIGNAL);
    } else {
        platform_port_write32(PORT_TRANSPORT, DIRECT_SIGNAL);
    }
    uint32_t state;
    /* Nothing bounds this wait but the host, which ends a job that does not end by itself. */
    while ((state = __atomic_load_n(&control->state, __ATOMIC_ACQUIRE)) == DIRECT_RUNNING) {
        platform_wait(WAIT_COMPLETION);
    }
    return state == DIRECT_TAKEN || error_set(error, ERROR_IO, "output", "the device reports an I/O error");
}

const struct transport_operations direct_transport = {
    .name = "direct",
    .id = TRANSPORT_DIRECT,
    .open = direct_open,
    .read = direct_read,
    .write = direct_write,
    .flush = direct_flush,
    .progress = direct_progress,
    .finish = direct_finish,
};
