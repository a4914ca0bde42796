/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/register_calls.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "abi/transports/hypercall.h"
#include "base/attributes.h"
#include "host/vmm/trial.h"

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

/*
 * Which instruction calls the kernel depends on the processor's vendor, and on whether KVM emulates or patches the
 * other one: so both are tried. A guest has no handler that would let it try for itself.
 */
static bool instruction_find(const struct engine_operations *operations, uint32_t *ret_instruction, struct error *error)
{
    /* Call 1 by the instruction, then a write to a port: movl $1, %eax; xor %ebx, %ecx, %edx; ...; outb %al, $0x80. */
#define TRIAL(last_byte)                                                                          \
    {                                                                                             \
        0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0x31, 0xc9, 0x31, 0xd2, 0x0f, 0x01, (last_byte), 0xe6, 0x80 \
    }
    static const struct {
        enum hypercall_instruction instruction;
        uint8_t code[16];
    } trials[] = {
        {HYPERCALL_INSTRUCTION_VMCALL, TRIAL(0xc1)},
        {HYPERCALL_INSTRUCTION_VMMCALL, TRIAL(0xd9)},
    };
#undef TRIAL
    for (unsigned int i = 0; i < ARRAY_COUNT(trials); i++) {
        bool is_executed;
        struct span code = {trials[i].code, sizeof(trials[i].code)};
        RETURN_IF_FAILED(trial_run(operations, code, &is_executed, error));
        if (is_executed) {
            *ret_instruction = trials[i].instruction;
            return true;
        }
    }
    *ret_instruction = HYPERCALL_INSTRUCTION_NONE;
    return true;
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
    RETURN_IF_FAILED(instruction_find(engine->operations, &setup->boot->variant, error));
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
