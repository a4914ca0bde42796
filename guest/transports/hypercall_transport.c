/* SPDX-License-Identifier: Apache-2.0 */
/* Calls by registers, 64 bytes at a time (abi/transports/hypercall.h). */
#include <string.h>

#include "abi/transports/hypercall.h"
#include "base/checked.h"
#include "guest/transports/transport_kinds.h"

/* A call that KVM answers by itself, from ring 3 with a refusal: KVM_HC_VAPIC_POLL_IRQ. */
#define KERNEL_CALL 1u

enum {
    SIGNAL_CALL,
    SIGNAL_KERNEL_CALL,
    SIGNAL_COUNT,
};

struct hypercalls {
    struct transport transport; /* first */
    uint32_t instruction;       /* enum hypercall_instruction */
};

static uint64_t call(enum hypercall number, uint64_t off, uint64_t len, uint64_t data[HYPERCALL_DATA_REGISTERS])
{
    uint64_t result = number;
    __asm__ volatile("movq 0(%%rsi), %%r8\n\t"
                     "movq 8(%%rsi), %%r9\n\t"
                     "movq 16(%%rsi), %%r10\n\t"
                     "movq 24(%%rsi), %%r11\n\t"
                     "movq 32(%%rsi), %%r12\n\t"
                     "movq 40(%%rsi), %%r13\n\t"
                     "movq 48(%%rsi), %%r14\n\t"
                     "movq 56(%%rsi), %%r15\n\t"
                     "outl %%eax, %%dx\n\t"
                     "movq %%r8, 0(%%rsi)\n\t"
                     "movq %%r9, 8(%%rsi)\n\t"
                     "movq %%r10, 16(%%rsi)\n\t"
                     "movq %%r11, 24(%%rsi)\n\t"
                     "movq %%r12, 32(%%rsi)\n\t"
                     "movq %%r13, 40(%%rsi)\n\t"
                     "movq %%r14, 48(%%rsi)\n\t"
                     "movq %%r15, 56(%%rsi)"
                     : "+a"(result)
                     : "b"(off), "c"(len), "d"(HYPERCALL_PORT), "S"(data)
                     : "memory", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15");
    return result;
}

static bool result_check(uint64_t result, const char *what, struct error *error)
{
    return result == HYPERCALL_OK || error_set(error, ERROR_IO, what, "the device reports an I/O error");
}

static bool hypercall_open(const struct transport_setup *setup, struct transport **ret_transport, struct error *error)
{
    struct hypercalls *calls = arena_allocate(setup->arena, sizeof(*calls), _Alignof(struct hypercalls));
    uint64_t data[HYPERCALL_DATA_REGISTERS] = {0};
    if (calls == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for a transport");
    }
    RETURN_IF_FAILED(result_check(call(HYPERCALL_SIZE, 0, 0, data), "input", error));
    calls->instruction = setup->boot->transport.variant;
    calls->transport = (struct transport){
        .operations = &hypercall_transport,
        .input_len = data[0],
        .is_output_zeroed = (setup->boot->transport.flags & BOOT_TRANSPORT_OUTPUT_ZEROED) != 0,
    };
    *ret_transport = &calls->transport;
    return true;
}

static bool hypercall_read(struct transport *transport, uint64_t off, void *data, uint64_t len, struct error *error)
{
    (void)transport;
    uint64_t part_len = 0;
    for (uint64_t done_len = 0; done_len < len; done_len += part_len) { /* ends: no part is empty */
        uint64_t part[HYPERCALL_DATA_REGISTERS] = {0};
        part_len = min_u64(len - done_len, HYPERCALL_DATA_LEN);
        RETURN_IF_FAILED(result_check(call(HYPERCALL_READ, off + done_len, part_len, part), "input", error));
        memcpy((uint8_t *)data + done_len, part, (size_t)part_len);
    }
    return true;
}

static bool hypercall_write(struct transport *transport, uint64_t off, const void *data, uint64_t len,
                            struct error *error)
{
    (void)transport;
    uint64_t part_len = 0;
    for (uint64_t done_len = 0; done_len < len; done_len += part_len) { /* ends: no part is empty */
        uint64_t part[HYPERCALL_DATA_REGISTERS] = {0};
        part_len = min_u64(len - done_len, HYPERCALL_DATA_LEN);
        memcpy(part, (const uint8_t *)data + done_len, (size_t)part_len);
        RETURN_IF_FAILED(result_check(call(HYPERCALL_WRITE, off + done_len, part_len, part), "output", error));
    }
    return true;
}

static bool hypercall_flush(struct transport *transport, struct error *error)
{
    (void)transport;
    uint64_t data[HYPERCALL_DATA_REGISTERS] = {0};
    return result_check(call(HYPERCALL_FLUSH, 0, 0, data), "output", error);
}

static bool kernel_call(uint32_t instruction, const char **ret_what, struct error *error)
{
    uint64_t result = KERNEL_CALL;
    switch (instruction) {
    case HYPERCALL_INSTRUCTION_VMCALL:
        __asm__ volatile("vmcall" : "+a"(result) : "b"(0), "c"(0), "d"(0) : "memory");
        *ret_what = (int64_t)result < 0 ? "vmcall, refused" : "vmcall, served";
        return true;
    case HYPERCALL_INSTRUCTION_VMMCALL:
        __asm__ volatile("vmmcall" : "+a"(result) : "b"(0), "c"(0), "d"(0) : "memory");
        *ret_what = (int64_t)result < 0 ? "vmmcall, refused" : "vmmcall, served";
        return true;
    default:
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "hypercall: this host lacks a call of the kernel: vmcall and vmmcall are faults in a guest");
    }
}

static bool hypercall_signal(struct transport *transport, uint32_t which, const char **ret_what, struct error *error)
{
    if (which == SIGNAL_KERNEL_CALL) {
        return kernel_call(((const struct hypercalls *)transport)->instruction, ret_what, error);
    }
    uint64_t data[HYPERCALL_DATA_REGISTERS] = {0};
    *ret_what = "call by registers";
    return result_check(call(HYPERCALL_NOTHING, 0, 0, data), "signal", error);
}

const struct transport_operations hypercall_transport = {
    .name = "hypercall",
    .id = TRANSPORT_HYPERCALL,
    .open = hypercall_open,
    .read = hypercall_read,
    .write = hypercall_write,
    .flush = hypercall_flush,
    .signal_count = SIGNAL_COUNT,
    .signal = hypercall_signal,
};
