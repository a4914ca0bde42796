/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/child/child_machine.h"

#include <errno.h>
#include <inttypes.h>
#include <pb_encode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/checked.h"
#include "host/jail/jail.h"
#include "host/job/child/child_images.h"
#include "host/job/files/files.h"
#include "host/job/transports.h"

/* Of images, described: so many are a few. */
#define SPARSE_DEVICE_MAX 64u

/* Of each machine, where there are two, whose memory is one job's. */
static bool arena_size(const struct job *job, uint64_t *ret_len, struct error *error)
{
    uint64_t shared_len = transport_shared_len(transport_of(job));
    uint64_t machine_count = shared_len > 0 ? 2 : 1;
    uint64_t least_len = round_up(job->arena_len_min, LAYOUT_HUGE_PAGE_LEN);
    uint64_t len = round_up(job->arena_len, LAYOUT_HUGE_PAGE_LEN);
    if (job->limits.memory_len > 0) {
        uint64_t needed_len = machine_count * least_len + shared_len;
        if (needed_len > job->limits.memory_len) {
            return error_set(error, ERROR_LIMIT, NULL,
                             "the job needs %" PRIu64 " bytes of guest memory, more than its limit of %" PRIu64,
                             needed_len, job->limits.memory_len);
        }
        len = min_u64(len, round_down((job->limits.memory_len - shared_len) / machine_count, LAYOUT_HUGE_PAGE_LEN));
    }
    *ret_len = max_u64(len, least_len);
    return true;
}

static bool ports_init(struct child_machine *child, const struct job *job,
                       const struct child_machine_handlers *handlers, struct error *error)
{
    RETURN_IF_FAILED(debug_port_init(&child->debug_port, &child->machine, job->want_debug ? handlers->debug_line : NULL,
                                     handlers->context, error));
    child->control_ports = (struct control_ports){
        .machine = &child->machine,
        .debug_port = &child->debug_port,
        .before_input = handlers->flush,
        .context = handlers->context,
    };
    control_ports_init(&child->control_ports);
    return message_port_init(&child->message_port, &child->machine, handlers->message, handlers->context, error);
}

/* A machine without images has no thread for it, and not much to say. */
static bool has_console(const struct child_machine *child)
{
    return child->job->want_console && child->image_count + child->daemon_count > 0;
}

/* A device of the group was kicked. Looking at one that was not costs a lock. */
static void late_kick_handle(void *context, int fd)
{
    const struct child_late_group *group = context;
    const struct child_machine *child = group->child;
    eventfd_t kicks;
    eventfd_read(fd, &kicks);
    unsigned int end = register_bank_group_start(&child->bank, group->number + 1);
    end = (unsigned int)min_u64(end, atomic_load_explicit(&child->attached_count, memory_order_acquire));
    for (unsigned int i = register_bank_group_start(&child->bank, group->number); i < end; i++) {
        virtio_blk_serve(&child->devices[i]->blk);
    }
}

static bool late_groups_watch(struct child_machine *child, struct io_thread *thread, struct error *error)
{
    for (unsigned int i = 0; i < child->bank.group_count; i++) {
        child->late_groups[i] = (struct child_late_group){child, i};
        RETURN_IF_FAILED(
            io_thread_add(thread, child->bank.late_kick_fds[i], late_kick_handle, &child->late_groups[i], error));
    }
    return true;
}

static bool threads_init(struct child_machine *child, struct error *error)
{
    bool has_shared = child->job->late_device_count > 0 || child->own_count < child->image_count;
    bool wants_helper = child->job->want_copies && child->job->vcpu_count > 1;
    unsigned int thread_count = child->own_count + has_shared + (child->daemon_count > 0) + wants_helper;
    while (child->thread_count < thread_count) {
        RETURN_IF_FAILED(io_thread_init(&child->threads[child->thread_count], error));
        child->thread_count++;
    }
    if (wants_helper) {
        RETURN_IF_FAILED(copy_helper_init(&child->copy_helper, &child->threads[thread_count - 1], error));
        child->has_copy_helper = true;
    }
    struct register_bank_late late = {child->own_count, has_shared ? child->device_count - child->own_count : 0};
    RETURN_IF_FAILED(register_bank_init(&child->bank, &child->machine, late, child->job->use_ioeventfd, error));
    return !has_shared || late_groups_watch(child, &child->threads[child->own_count], error);
}

/* Behind all disks, so that those keep their numbers. It shares a thread with the first: each waits for the other. */
static bool console_init(struct child_machine *child, struct error *error)
{
    if (!has_console(child)) {
        return true;
    }
    struct virtio_console_setup setup = {
        .index = child->device_count,
        .use_ioeventfd = child->job->use_ioeventfd,
        .bank = &child->bank,
        .thread = &child->threads[0],
        .port = &child->message_port,
    };
    child->has_console = virtio_console_init(&child->console, &child->machine, &setup, error);
    return child->has_console;
}

/* As if the guest had sent it. */
static void transport_progress(void *context, uint64_t done_len, uint64_t total_len)
{
    const struct child_machine *child = context;
    uint8_t body[64]; /* four numbers */
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_progress_tag};
    message.kind.progress = (instar_ProgressMessage){
        .sectors = virtio_blk_sectors(done_len),
        .total_sectors = virtio_blk_sectors(total_len),
        .bytes = done_len,
        .total_bytes = total_len,
    };
    pb_ostream_t stream = pb_ostream_from_buffer(body, sizeof(body));
    if (pb_encode(&stream, instar_GuestMessage_fields, &message)) {
        child->message_port.handler(child->message_port.context, (struct span){body, stream.bytes_written});
    }
}

/* Puts the device of another transport than virtio-blk into the machine, on the input and the output. */
static bool transport_init(struct child_machine *child, int listener_fd, struct error *error)
{
    const struct transport *transport = transport_of(child->job);
    struct boot_transport *boot = &child->boot_transport;
    *boot = (struct boot_transport){
        .id = transport->id,
        .variant = transport->variant,
        .flags = transport_has_interrupts(transport) ? BOOT_TRANSPORT_INTERRUPTS : 0,
    };
    if (transport->device == NULL) {
        return true;
    }
    if (child->daemon_count == 0 && (child->job->input_count != 1 || child->image_count != 2)) {
        return error_set(error, ERROR_USAGE, NULL, "the transport \"%s\" has one input and one output",
                         transport->name);
    }
    bool has_files = child->daemon_count == 0 && !transport_has_disks(transport);
    boot->flags |= has_files && child->devices[1]->file.zeroed ? BOOT_TRANSPORT_OUTPUT_ZEROED : 0;
    struct transport_device_setup setup = {
        .machine = &child->machine,
        .input = has_files ? &child->devices[0]->file : NULL,
        .output = has_files ? &child->devices[1]->file : NULL,
        .thread = &child->threads[0],
        .far_thread = &child->threads[1],
        .bank = &child->bank,
        .use_ioeventfd = child->job->use_ioeventfd,
        .variant = transport->variant,
        .first_socket_fd = JAIL_DAEMON_FD_FIRST,
        .listener_fd = listener_fd,
        .sockets = child->job->sockets,
        .progress = transport_progress,
        .context = child,
        .boot = boot,
    };
    if (child->reader != NULL) {
        child->reader->boot_transport = *boot;
        child->reader->boot_transport.flags |= BOOT_TRANSPORT_READER;
        setup.reader = &child->reader->machine;
        setup.reader_boot = &child->reader->boot_transport;
    }
    if (transport->device->make(&setup, &child->transport, error)) {
        return true;
    }
    /* One that reads the input already now: named as it is later. */
    struct error failure = {0};
    if (child_machine_failure(child, &failure)) {
        *error = failure;
    }
    return false;
}

static enum boot_device_role role_of(const struct child_machine *child, unsigned int device)
{
    /* A daemon's is the input, or both. */
    unsigned int input_count = child->daemon_count > 0 ? 1 : child->job->input_count;
    if (device < input_count) {
        return child->reader != NULL ? BOOT_DEVICE_ELSEWHERE : BOOT_DEVICE_INPUT;
    }
    return device < child->image_count + child->daemon_count ? BOOT_DEVICE_OUTPUT : BOOT_DEVICE_LATE;
}

static bool program_load(struct child_machine *child, const struct job *job, struct error *error)
{
    /* First: it gets a copy of the program. */
    RETURN_IF_FAILED(child->reader == NULL || child_peer_load(child->reader, job, error));
    static enum boot_device_role roles[JOB_DEVICE_MAX + 1]; /* of the process's only job; the stack would be touched */
    for (unsigned int i = 0; i < child->device_count; i++) {
        roles[i] = role_of(child, i);
    }
    roles[child->device_count] = BOOT_DEVICE_CONSOLE;
    struct machine_content content = {
        .program = job->program,
        .gives_program = true, /* the child's copy; the parent has its own */
        .message = job->message,
        .roles = roles,
        .transport = child->boot_transport,
    };
    if (!machine_load(&child->machine, &content, error)) {
        error_add_place(error, job->program_name);
        return false;
    }
    return true;
}

static bool reader_make(struct child_machine *child, const struct child_machine_handlers *handlers,
                        const struct machine_config *config, struct error *error)
{
    struct child_peer_setup setup = {
        .job = child->job,
        .engine = config->engine,
        .writer = &child->machine,
        .arena_len = config->arena_len,
        .debug_line = child->job->want_debug ? handlers->debug_line : NULL,
        .context = handlers->context,
    };
    child->reader = child_peer_make(&setup, error);
    return child->reader != NULL;
}

_Static_assert(JOB_PROCESSOR_LEVEL_MAX == PROCESSOR_LEVEL_MAX, "what a job may ask for, the engine knows");

static bool machines_make(struct child_machine *child, const struct engine_operations *engine,
                          const struct child_machine_handlers *handlers, struct error *error)
{
    const struct job *job = child->job;
    struct machine_config config = {
        .engine = engine,
        .vcpu_count = job->vcpu_count,
        .device_count = child->device_count + has_console(child),
        .exit_limit = job->limits.exit_count,
        /* A few images take less memory than a huge page; many, in small pages, as many faults as pages. */
        .arena_is_sparse = job->only_describes && job->late_device_count <= SPARSE_DEVICE_MAX,
        .has_interrupts = transport_has_interrupts(transport_of(job)),
        .processor_level = job->processor_level,
        .keeps_statistics = job->want_statistics,
        .shares_data = transport_lends_memory(transport_of(job)),
    };
    RETURN_IF_FAILED(arena_size(job, &config.arena_len, error) && machine_init(&child->machine, &config, error));
    if (transport_shared_len(transport_of(job)) > 0 && !reader_make(child, handlers, &config, error)) {
        machine_release(&child->machine);
        return false;
    }
    return true;
}

bool child_machine_init(struct child_machine *child, const struct job *job, const struct child_ties *ties,
                        const struct child_machine_handlers *handlers, struct error *error)
{
    child->job = job;
    write_budget_init(&child->write_budget, job->limits.output_len);
    child->image_count = ties->image_count;
    unsigned int own_max =
        job->input_count > JOB_OWN_INPUT_MAX ? JOB_OWN_INPUT_MAX : job->input_count + JOB_OWN_OUTPUT_MAX;
    child->own_count = (unsigned int)min_u64(ties->image_count, own_max);
    child->daemon_count = transport_daemon_count(transport_of(job));
    child->device_count = ties->image_count + child->daemon_count + job->late_device_count;
    if (!machines_make(child, ties->engine, handlers, error)) {
        child_images_close(ties);
        return false;
    }
    bool has_threads = threads_init(child, error) && console_init(child, error);
    if (!has_threads) {
        child_images_close(ties);
    }
    if (has_threads && child_images_attach(child, ties, error) && transport_init(child, ties->listener_fd, error) &&
        ports_init(child, job, handlers, error) && program_load(child, job, error)) {
        return true;
    }
    struct error ignored = {0};
    child_machine_close_images(child, false, &ignored);
    child_machine_release(child);
    return false;
}

bool child_machine_start(struct child_machine *child, struct error *error)
{
    for (unsigned int i = 0; i < child->thread_count; i++) {
        if (!io_thread_start(&child->threads[i], &child->machine.gate, error)) {
            machine_end(&child->machine, error);
            return false;
        }
    }
    if (child->reader != NULL && !machine_start(&child->reader->machine, error)) {
        machine_end(&child->machine, error);
        return false;
    }
    return machine_start(&child->machine, error);
}

void child_machine_confine(struct child_machine *child, bool (*confine)(void *context, enum start_role role),
                           void *context)
{
    child->machine.gate.confine = confine;
    child->machine.gate.context = context;
    if (child->reader != NULL) {
        child->reader->machine.gate.confine = confine;
        child->reader->machine.gate.context = context;
    }
}

bool child_machine_wait_threads(struct child_machine *child, struct error *error)
{
    bool is_confined = start_gate_wait(&child->machine.gate, child->thread_count + child->machine.vcpu_count);
    if (child->reader != NULL) {
        is_confined = start_gate_wait(&child->reader->machine.gate, child->reader->machine.vcpu_count) && is_confined;
    }
    if (!is_confined) {
        return error_set(error, ERROR_HOST, NULL, "a thread cannot load its system call filter");
    }
    return machine_seal(&child->machine, error) &&
           (child->reader == NULL || machine_seal(&child->reader->machine, error));
}

void child_machine_open_gate(struct child_machine *child)
{
    machine_open_gate(&child->machine);
    if (child->reader != NULL) {
        machine_open_gate(&child->reader->machine);
    }
}

void child_machine_drain_writes(struct child_machine *child)
{
    machine_drain_writes(&child->machine);
    if (child->reader != NULL) {
        machine_drain_writes(&child->reader->machine);
    }
}

int child_machine_reader_end_fd(const struct child_machine *child)
{
    return child->reader != NULL ? child->reader->machine.end_fd : -1;
}

void child_machine_reader_ended(struct child_machine *child)
{
    struct error error;
    child_peer_explain(child->reader, &error);
    machine_end(&child->machine, &error);
}

static bool reply_send(struct child_machine *child, const instar_OpenReply *reply, struct error *error)
{
    uint8_t body[instar_OpenReply_size];
    pb_ostream_t stream = pb_ostream_from_buffer(body, sizeof(body));
    if (!pb_encode(&stream, instar_OpenReply_fields, reply)) {
        return error_set(error, ERROR_HOST, NULL, "cannot encode an answer: %s", PB_GET_ERROR(&stream));
    }
    return message_port_send(&child->message_port, (struct span){body, stream.bytes_written}, error);
}

bool child_machine_grant(struct child_machine *child, const struct grant *grant, int file_fd, struct error *error)
{
    instar_OpenReply reply = {.success = grant->is_granted != 0};
    if (!reply.success) {
        reply.error_kind = grant->error_kind;
        return reply_send(child, &reply, error);
    }
    if (grant->has_device != 0) {
        reply.device = grant->device;
        return reply_send(child, &reply, error);
    }
    if (child->attached_count == child->device_count) {
        close(file_fd);
        return error_set(error, ERROR_HOST, NULL, "more files were granted than there are devices");
    }
    /* Whatever the job's backend: this one opens nothing, which the jail would forbid. */
    struct backend_config config = {
        .kind = BACKEND_REGULAR,
        .path = grant->path,
        .fd = file_fd,
        .len = grant->file_len,
    };
    struct virtio_blk_medium medium = {
        .sector_len = JOB_SECTOR_LEN_MIN,
        .allocated_len = grant->allocated_len,
    };
    reply.device = child->attached_count;
    return child_image_attach(child, &config, &medium, error) && reply_send(child, &reply, error);
}

bool child_machine_stop(struct child_machine *child, struct error *error)
{
    bool ended_well = machine_join(&child->machine, error);
    struct error reader_error = {0};
    if (child->reader != NULL && !child_peer_stop(child->reader, &reader_error) && ended_well) {
        *error = reader_error;
        ended_well = false;
    }
    for (unsigned int i = 0; i < child->thread_count; i++) {
        io_thread_stop(&child->threads[i]);
    }
    for (unsigned int i = 0; i < child->attached_count; i++) {
        if (child->devices[i]->has_blk) {
            virtio_blk_settle(&child->devices[i]->blk);
        }
    }
    debug_port_flush(&child->debug_port);
    if (ended_well && message_port_is_within_message(&child->message_port)) {
        return error_set(error, ERROR_GUEST, NULL, "the guest ended in the middle of a message");
    }
    return ended_well;
}

bool child_machine_close_images(struct child_machine *child, bool keep, struct error *error)
{
    bool is_kept = true;
    for (unsigned int i = 0; i < child->device_count && child->devices[i] != NULL; i++) {
        struct child_device *device = child->devices[i];
        if (device->backend == NULL) {
            continue;
        }
        int result = backend_close(device->backend, keep);
        device->backend = NULL;
        device->blk.backend = NULL;
        device->file.backend = NULL;
        if (result != 0 && keep) {
            is_kept = error_set(error, result == ENOSPC ? ERROR_NO_SPACE : ERROR_IO, device->path, "cannot close: %s",
                                strerror(result));
        }
    }
    return is_kept;
}

bool child_machine_failure(struct child_machine *child, struct error *ret_failure)
{
    for (unsigned int i = 0; i < child->attached_count; i++) {
        const struct child_device *device = child->devices[i];
        if (device->file.errno_value != 0) {
            error_fill(ret_failure, file_error_kind(device->file.errno_value), device->path, "cannot %s: %s",
                       device->file.what, strerror(device->file.errno_value));
            return true;
        }
        const struct virtio_blk_failure *failure = &child->devices[i]->blk.failure;
        int errno_value = failure->errno_value;
        if (errno_value == 0 || (child->job->reads_in_vain && !device->blk.backend->writable)) {
            continue;
        }
        const char *path = child->devices[failure->device]->path;
        if (failure->has_no_room) {
            write_room_refuse(&device->blk.room, WRITE_NO_ROOM, ret_failure);
            error_add_place(ret_failure, path);
            return true;
        }
        error_fill(ret_failure, file_error_kind(errno_value), path, "cannot %s: %s", failure->what,
                   strerror(errno_value));
        return true;
    }
    return false;
}

void child_machine_release(struct child_machine *child)
{
    machine_end(&child->machine, NULL);
    if (child->reader != NULL) {
        machine_end(&child->reader->machine, NULL);
    }
    if (child->transport != NULL) {
        child->transport->operations->release(child->transport);
    }
    for (unsigned int i = 0; i < child->device_count && child->devices[i] != NULL; i++) {
        if (child->devices[i]->has_blk) {
            virtio_blk_release(&child->devices[i]->blk);
        }
        free(child->devices[i]->path);
        free(child->devices[i]);
    }
    if (child->has_console) {
        virtio_console_release(&child->console);
    }
    for (unsigned int i = 0; i < child->thread_count; i++) {
        io_thread_release(&child->threads[i]);
    }
    if (child->has_copy_helper) {
        copy_helper_release(&child->copy_helper);
    }
    register_bank_release(&child->bank);
    child_peer_release(child->reader);
    machine_release(&child->machine);
    message_port_release(&child->message_port);
    debug_port_release(&child->debug_port);
    write_budget_release(&child->write_budget);
}
