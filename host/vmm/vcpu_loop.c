/* SPDX-License-Identifier: Apache-2.0 */
#include "host/vmm/vcpu_loop.h"

#include <inttypes.h>

#include "host/vmm/machine.h"

static void exit_count(struct vcpu_statistics *statistics, const struct vcpu_exit *exit)
{
    statistics->exits++;
    switch (exit->kind) {
    case VCPU_EXIT_PORT:
        *(exit->access.is_write ? &statistics->io_out : &statistics->io_in) += 1;
        break;
    case VCPU_EXIT_REGISTER:
        *(exit->access.is_write ? &statistics->mmio_write : &statistics->mmio_read) += 1;
        break;
    case VCPU_EXIT_INTERRUPTED:
        statistics->interrupted++;
        break;
    case VCPU_EXIT_HALT:
        statistics->hlt++;
        break;
    case VCPU_EXIT_FAULT:
        statistics->shutdown++;
        break;
    case VCPU_EXIT_FAILED_ENTRY:
        statistics->fail_entry++;
        break;
    case VCPU_EXIT_INTERNAL:
    case VCPU_EXIT_UNKNOWN:
        statistics->unknown++;
        break;
    }
}

/* The guest has no handler for any fault; only a page fault has an address. */
static bool fault_describe(const struct vcpu_exit *exit, struct error *error)
{
    unsigned int vcpu = exit->faulted_vcpu;
    if (exit->is_place_lost) {
        return error_set(error, ERROR_GUEST, NULL,
                         "guest fault on vCPU %u, at an instruction that this host's processor does not tell", vcpu);
    }
    if (exit->has_fault_address) {
        return error_set(error, ERROR_GUEST, NULL,
                         "guest fault on vCPU %u: page fault at address 0x%" PRIx64 ", instruction 0x%" PRIx64, vcpu,
                         exit->fault_gpa, exit->instruction_gpa);
    }
    return error_set(error, ERROR_GUEST, NULL, "guest fault on vCPU %u at instruction 0x%" PRIx64, vcpu,
                     exit->instruction_gpa);
}

/* Returns false, with an error, when the machine cannot go on. */
static bool exit_handle(struct machine_vcpu *vcpu, const struct vcpu_exit *exit, struct error *error)
{
    struct machine *machine = vcpu->machine;
    switch (exit->kind) {
    case VCPU_EXIT_PORT:
        return bus_dispatch(&machine->ports, &exit->access, error);
    case VCPU_EXIT_REGISTER:
        return bus_dispatch(&machine->registers, &exit->access, error);
    case VCPU_EXIT_INTERRUPTED:
        return true;
    case VCPU_EXIT_HALT:
        return error_set(error, ERROR_GUEST, NULL, "the guest halted vCPU %u at instruction 0x%" PRIx64, vcpu->index,
                         exit->instruction_gpa);
    case VCPU_EXIT_FAULT:
        return fault_describe(exit, error);
    case VCPU_EXIT_FAILED_ENTRY:
        return error_set(error, ERROR_HOST, NULL, "the processor refused to enter vCPU %u: reason 0x%" PRIx64,
                         vcpu->index, exit->code);
    case VCPU_EXIT_INTERNAL:
        return error_set(error, ERROR_GUEST, NULL,
                         "%s cannot go on with vCPU %u at instruction 0x%" PRIx64 ": internal error %" PRIu64,
                         machine->engine->operations->name, vcpu->index, exit->instruction_gpa, exit->code);
    case VCPU_EXIT_UNKNOWN:
        return error_set(error, ERROR_HOST, NULL, "unknown exit %" PRIu64 " of vCPU %u at instruction 0x%" PRIx64,
                         exit->code, vcpu->index, exit->instruction_gpa);
    }
    __builtin_unreachable();
}

static bool exit_limit_check(struct machine *machine, struct error *error)
{
    if (machine->exit_limit == 0 || atomic_fetch_add(machine->exit_count, 1) < machine->exit_limit) {
        return true;
    }
    return error_set(error, ERROR_LIMIT, NULL, "the job exceeded its limit of %" PRIu64 " exits", machine->exit_limit);
}

static void vcpu_begin(const struct machine_vcpu *vcpu)
{
    struct machine *machine = vcpu->machine;
    const struct engine_operations *operations = machine->engine->operations;
    struct error error = {0};
    if (operations->vcpu_begin != NULL && !operations->vcpu_begin(machine->engine, vcpu->index, &error)) {
        machine_end(machine, &error);
    }
}

void *vcpu_loop(void *argument)
{
    struct machine_vcpu *vcpu = argument;
    struct machine *machine = vcpu->machine;
    start_gate_confine(&machine->gate, START_VCPU);
    vcpu_begin(vcpu);
    start_gate_pass(&machine->gate);
    while (!machine->has_ended) {
        struct vcpu_exit exit;
        struct error error = {0};
        bool can_go_on = machine->engine->operations->vcpu_run(machine->engine, vcpu->index, &exit, &error);
        if (can_go_on) {
            exit_count(&vcpu->statistics, &exit);
            /* What this vCPU wrote before the exit comes before the exit. */
            machine_drain_writes(machine);
            can_go_on = exit_limit_check(machine, &error) && exit_handle(vcpu, &exit, &error);
        }
        if (!can_go_on) {
            machine_end(machine, &error);
        }
    }
    return NULL;
}
