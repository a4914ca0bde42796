/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's life. Locks, in the order in which they may nest: drain_lock, then a device's own lock, then
 * end_lock or a vCPU's event lock.
 */
#include "host/vmm/machine.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "abi/ports.h"
#include "host/vmm/vcpu_loop.h"

/* The signal's work is done when it has come. */
static void kick_handler(int signal_number UNUSED)
{
}

bool machine_init(struct machine *machine, const struct machine_config *config, struct error *error)
{
    *machine = (struct machine){
        .ports = {.noun = "port"},
        .registers = {.noun = "address"},
        .device_count = config->device_count,
        .vcpu_count = config->vcpu_count,
        .exit_limit = config->exit_limit,
        .exit_count = config->exits_with != NULL ? config->exits_with->exit_count : &machine->own_exit_count,
        .interrupt_fd = config->has_interrupts ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1,
    };
    pthread_mutex_init(&machine->drain_lock, NULL);
    pthread_mutex_init(&machine->end_lock, NULL);
    start_gate_init(&machine->gate);
    for (unsigned int i = 0; i < config->vcpu_count; i++) {
        struct machine_vcpu *vcpu = &machine->vcpus[i];
        vcpu->machine = machine;
        vcpu->index = i;
        vcpu_events_init(&vcpu->events);
    }
    struct guest_memory_config memory = {
        .device_count = config->device_count,
        .arena_len = config->arena_len,
        .is_sparse = config->arena_is_sparse,
        .is_shared = config->engine->shares_memory,
        .is_data_shared = config->shares_data,
    };
    struct engine_setup setup = {
        .vcpu_count = config->vcpu_count,
        .interrupt_fd = machine->interrupt_fd,
        .processor_level = config->processor_level,
        .keeps_statistics = config->keeps_statistics,
    };
    machine->end_fd = eventfd(0, EFD_CLOEXEC);
    if (machine->end_fd < 0 || (config->has_interrupts && machine->interrupt_fd < 0)) {
        error_fill(error, ERROR_HOST, NULL, "cannot make an eventfd: %s", strerror(errno));
    } else if (guest_memory_init(&machine->memory, &memory, error) &&
               config->engine->create(&machine->memory, &setup, &machine->engine, error)) {
        return true;
    }
    machine_release(machine);
    return false;
}

void machine_release(struct machine *machine)
{
    machine_end(machine, NULL);
    struct error ignored = {0};
    machine_join(machine, &ignored);
    if (machine->engine != NULL) {
        machine->engine->operations->release(machine->engine);
    }
    guest_memory_release(&machine->memory);
    for (unsigned int i = 0; i < machine->vcpu_count; i++) {
        vcpu_events_release(&machine->vcpus[i].events);
    }
    if (machine->end_fd >= 0) {
        close(machine->end_fd);
    }
    if (machine->interrupt_fd >= 0) {
        close(machine->interrupt_fd);
    }
    start_gate_release(&machine->gate);
    pthread_mutex_destroy(&machine->drain_lock);
    pthread_mutex_destroy(&machine->end_lock);
}

static bool vcpus_start(struct machine *machine, struct error *error)
{
    for (unsigned int i = 0; i < machine->vcpu_count; i++) {
        struct machine_vcpu *vcpu = &machine->vcpus[i];
        int failure = pthread_create(&vcpu->thread, NULL, vcpu_loop, vcpu);
        if (failure != 0) {
            error_fill(error, ERROR_HOST, NULL, "cannot start a thread: %s", strerror(failure));
            machine_end(machine, error);
            return false;
        }
        vcpu->is_started = true;
    }
    return true;
}

bool machine_start(struct machine *machine, struct error *error)
{
    struct sigaction action = {.sa_handler = kick_handler};
    sigemptyset(&action.sa_mask);
    sigaction(ENGINE_KICK_SIGNAL, &action, NULL);

    /* Threads inherit the mask. In this one the signal stays free: it takes those that are for the whole process. */
    sigset_t kicks;
    sigset_t before;
    sigemptyset(&kicks);
    sigaddset(&kicks, ENGINE_KICK_SIGNAL);
    pthread_sigmask(machine->engine->holds_kicks ? SIG_BLOCK : SIG_UNBLOCK, &kicks, &before);
    bool is_started = vcpus_start(machine, error);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    RETURN_IF_FAILED(is_started);
    /* While the threads are on their way to the gate, which takes as long as the engine does. */
    if (!machine->engine->operations->start(machine->engine, error)) {
        machine_end(machine, error);
        return false;
    }
    guest_memory_close_file(&machine->memory);
    return true;
}

bool machine_seal(struct machine *machine, struct error *error)
{
    const struct engine_operations *operations = machine->engine->operations;
    return operations->seal == NULL || operations->seal(machine->engine, error);
}

void machine_open_gate(struct machine *machine)
{
    start_gate_open(&machine->gate);
}

void machine_end(struct machine *machine, const struct error *error)
{
    pthread_mutex_lock(&machine->end_lock);
    bool is_first = !machine->has_ended;
    if (is_first) {
        if (error != NULL) {
            machine->error = *error;
        }
        /* Before has_ended: whoever sees it may send the signal that makes the vCPUs look. */
        for (unsigned int i = 0; i < machine->vcpu_count && machine->engine != NULL; i++) {
            machine->engine->operations->vcpu_interrupt(machine->engine, i);
        }
        machine->has_ended = true;
    }
    pthread_mutex_unlock(&machine->end_lock);
    if (!is_first) {
        return;
    }
    start_gate_open(&machine->gate); /* for threads that only have to end */
    for (unsigned int i = 0; i < machine->vcpu_count; i++) {
        vcpu_events_stop(&machine->vcpus[i].events);
    }
    if (machine->end_fd >= 0) {
        eventfd_write(machine->end_fd, 1);
    }
}

bool machine_join(struct machine *machine, struct error *error)
{
    for (unsigned int i = 0; i < machine->vcpu_count; i++) {
        struct machine_vcpu *vcpu = &machine->vcpus[i];
        if (!vcpu->is_started) {
            continue;
        }
        pthread_kill(vcpu->thread, ENGINE_KICK_SIGNAL);
        pthread_join(vcpu->thread, NULL);
        vcpu->is_started = false;
    }
    if (error_is_set(&machine->error)) {
        *error = machine->error;
        return false;
    }
    return true;
}

static bool drained_write_handle(void *context, bool is_port, const struct bus_access *access, struct error *error)
{
    struct machine *machine = context;
    machine->coalesced_writes++;
    return bus_dispatch(is_port ? &machine->ports : &machine->registers, access, error);
}

void machine_drain_writes(struct machine *machine)
{
    struct error error = {0};
    pthread_mutex_lock(&machine->drain_lock);
    bool handled = machine->engine->operations->drain_writes(machine->engine, drained_write_handle, machine, &error);
    pthread_mutex_unlock(&machine->drain_lock);
    if (!handled) {
        machine_end(machine, &error);
    }
}

void machine_signal(struct machine *machine, uint32_t events)
{
    for (unsigned int i = 0; i < machine->vcpu_count; i++) {
        vcpu_events_signal(&machine->vcpus[i].events, events);
    }
    if (machine->interrupt_fd >= 0) {
        eventfd_write(machine->interrupt_fd, 1);
    }
}

void vcpu_statistics_add(struct vcpu_statistics *sum, const struct vcpu_statistics *one)
{
    sum->exits += one->exits;
    sum->io_in += one->io_in;
    sum->io_out += one->io_out;
    sum->mmio_read += one->mmio_read;
    sum->mmio_write += one->mmio_write;
    sum->hlt += one->hlt;
    sum->shutdown += one->shutdown;
    sum->fail_entry += one->fail_entry;
    sum->interrupted += one->interrupted;
    sum->unknown += one->unknown;
    sum->waits += one->waits;
}

struct vcpu_statistics machine_statistics(const struct machine *machine)
{
    struct vcpu_statistics sum = {0};
    for (unsigned int i = 0; i < machine->vcpu_count; i++) {
        vcpu_statistics_add(&sum, &machine->vcpus[i].statistics);
    }
    return sum;
}
