/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/register_calls.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "abi/transports/hypercall.h"
#include "base/attributes.h"

struct register_calls {
    struct transport_device device; /* first */
    struct machine *machine;
    pthread_mutex_t lock; /* the files take one transfer at a time */
    struct transport_file *input;
    struct transport_file *output;
};

_Static_assert(sizeof(((struct vcpu_registers *)NULL)->data) == HYPERCALL_DATA_LEN,
               "the ABI's registers are the engine's");

static bool len_check(const struct vcpu_registers *registers, struct error *error)
{
    return registers->rcx <= HYPERCALL_DATA_LEN ||
           error_set(error, ERROR_GUEST, "hypercall", "the guest passes %" PRIu64 " bytes in %u registers",
                     registers->rcx, HYPERCALL_DATA_REGISTERS);
}

/* Sets *ret_errno to why a file failed. */
static bool call_execute(struct register_calls *calls, uint32_t number, struct vcpu_registers *registers,
                         int *ret_errno, struct error *error)
{
    switch (number) {
    case HYPERCALL_SIZE:
        registers->data[0] = calls->input->backend->len;
        return true;
    case HYPERCALL_READ:
        memset(registers->data, 0, sizeof(registers->data));
        return len_check(registers, error) &&
               transport_file_read(calls->input, registers->rbx, registers->data, registers->rcx, ret_errno, error);
    case HYPERCALL_WRITE:
        return len_check(registers, error) &&
               transport_file_write(calls->output, registers->rbx, registers->data, registers->rcx, ret_errno, error);
    case HYPERCALL_FLUSH:
        *ret_errno = transport_file_flush(calls->output);
        return true;
    case HYPERCALL_NOTHING:
        return true;
    default:
        return error_set(error, ERROR_GUEST, "hypercall", "the guest makes the unknown call %" PRIu32, number);
    }
}

static bool port_access(void *context, uint64_t off UNUSED, const struct bus_access *access, struct error *error)
{
    struct register_calls *calls = context;
    struct engine *engine = calls->machine->engine;
    struct vcpu_registers registers;
    uint32_t number;
    int result = 0;
    if (!access->is_write || access->width != sizeof(number) || access->count != 1) {
        return error_set(error, ERROR_GUEST, "hypercall", "the guest makes a call other than by a 4-byte write");
    }
    memcpy(&number, access->data, sizeof(number));
    engine->operations->registers_get(engine, access->vcpu, &registers);
    pthread_mutex_lock(&calls->lock);
    bool is_done = call_execute(calls, number, &registers, &result, error);
    pthread_mutex_unlock(&calls->lock);
    registers.rax = result == 0 ? HYPERCALL_OK : HYPERCALL_FAILED;
    engine->operations->registers_set(engine, access->vcpu, &registers);
    return is_done;
}

static void register_calls_release(struct transport_device *device)
{
    struct register_calls *calls = (struct register_calls *)device;
    pthread_mutex_destroy(&calls->lock);
    free(calls);
}

static bool register_calls_make(const struct transport_device_setup *setup, struct transport_device **ret_device,
                                struct error *error)
{
    struct engine *engine = setup->machine->engine;
    if (engine->operations->registers_share == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "the engine \"%s\" does not show a guest's registers",
                         engine->operations->name);
    }
    RETURN_IF_FAILED(engine->operations->registers_share(engine, error));
    struct register_calls *calls = calloc(1, sizeof(*calls));
    if (calls == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    calls->device.operations = &register_calls_device;
    calls->machine = setup->machine;
    calls->input = setup->input;
    calls->output = setup->output;
    pthread_mutex_init(&calls->lock, NULL);
    bus_add(&setup->machine->ports, HYPERCALL_PORT, sizeof(uint32_t), port_access, calls);
    *ret_device = &calls->device;
    return true;
}

const struct transport_device_operations register_calls_device = {
    .make = register_calls_make,
    .release = register_calls_release,
};
