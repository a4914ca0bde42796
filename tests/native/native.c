/* SPDX-License-Identifier: Apache-2.0 */
#include "native.h"

#include <pb_decode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/framing.h"
#include "base/endian.h"
#include "guest/runtime/messages.h"
#include "guest/runtime/runtime.h"
#include "native_private.h"

#define CLEARED_LEN_MAX (16ull << 20)

static struct {
    struct native_setup setup;
    void *memory; /* NULL: none yet; kept from one machine to the next */
    uint64_t memory_len;
    struct arena arena;
    struct image_environment environment;
} machine;

bool native_refuses_late_files(void)
{
    return machine.setup.refuses_late_files;
}

/* The guest's messages come whole: it flushes nothing else. */
void native_message_bytes(const uint8_t *data, uint64_t len)
{
    static instar_GuestMessage message;
    while (len > 0) { /* ends: each round takes a frame */
        struct le32 head;
        if (len < sizeof(head)) {
            panic("native: half of a frame");
        }
        memcpy(&head, data, sizeof(head));
        uint32_t body_len = le32_get(head);
        if (body_len == 0 || body_len > FRAME_BODY_MAX || body_len > len - sizeof(head)) {
            panic("native: a frame of %u bytes", body_len);
        }
        pb_istream_t stream = pb_istream_from_buffer(data + sizeof(head), body_len);
        message = (instar_GuestMessage){0};
        if (!pb_decode(&stream, instar_GuestMessage_fields, &message)) {
            panic("native: a message that cannot be decoded");
        }
        if (machine.setup.on_message != NULL) {
            machine.setup.on_message(&message, machine.setup.context);
        }
        data += sizeof(head) + body_len;
        len -= sizeof(head) + body_len;
    }
}

static void memory_release(void)
{
    if (machine.memory != NULL) {
        munmap(machine.memory, machine.memory_len);
    }
    machine.memory = NULL;
}

static void memory_make(uint64_t len)
{
    if (machine.memory != NULL && machine.memory_len == len) {
        return;
    }
    memory_release();
    machine.memory_len = len;
    machine.memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (machine.memory == MAP_FAILED) {
        panic("native: no memory");
    }
}

/* Little that was used is cheaper to clear than to get anew: fuzzers do it all the time. */
static void memory_clear(void)
{
    uint64_t used_len = machine.arena.next_gpa - (uint64_t)(uintptr_t)machine.memory;
    if (used_len <= CLEARED_LEN_MAX) {
        memset(machine.memory, 0, used_len);
    } else {
        memory_release();
    }
}

void native_start(const struct native_setup *setup)
{
    machine.setup = *setup;
    memory_make(setup->arena_len != 0 ? setup->arena_len : NATIVE_ARENA_LEN);
    arena_init(&machine.arena, (uint64_t)(uintptr_t)machine.memory, machine.memory_len);
    machine.environment = (struct image_environment){
        .arena = &machine.arena,
        .key_arena = &machine.arena,
        .cache = cache_make(&machine.arena, setup->cache_blocks != 0 ? setup->cache_blocks : NATIVE_CACHE_BLOCKS),
        .open_file = native_open_late,
    };
    if (machine.environment.cache == NULL) {
        panic("native: no memory for the cache");
    }
}

void native_stop(void)
{
    native_files_close();
    native_io_release();
    memory_clear();
}

struct arena *native_arena(void)
{
    return &machine.arena;
}

struct image_environment *native_environment(void)
{
    return &machine.environment;
}

/* Whether the job changes its source of this number. */
static bool is_in_place(const instar_ImageJob *job, uint32_t source)
{
    return (job->which_operation == instar_ImageJob_rebase_tag && source == 0) ||
           job->which_operation == instar_ImageJob_commit_tag || job->which_operation == instar_ImageJob_resize_tag ||
           job->which_operation == instar_ImageJob_snapshots_tag ||
           job->which_operation == instar_ImageJob_bitmap_tag || job->which_operation == instar_ImageJob_amend_tag ||
           (job->which_operation == instar_ImageJob_check_tag &&
            job->operation.check.repair != instar_RepairMode_REPAIR_NONE) ||
           (job->which_operation == instar_ImageJob_bench_tag && job->operation.bench.write);
}

/* Opens what the job is about. */
static bool files_open(struct image_job *job, const char *const *paths, const char *target, struct error *error)
{
    for (uint32_t i = 0; i < job->message->sources_count; i++) {
        job->is_opening = true;
        RETURN_IF_FAILED(native_file_open(paths[i], is_in_place(job->message, i), &job->sources[i], error));
    }
    if (target != NULL) {
        RETURN_IF_FAILED(native_file_open(target, true, &job->target, error));
    }
    job->is_opening = false;
    return true;
}

static bool run(struct image_job *job, struct error *error)
{
    uint64_t left = arena_left(&machine.arena, 1);
    if (machine.setup.arena_left != 0 && machine.setup.arena_left < left &&
        arena_allocate(&machine.arena, left - machine.setup.arena_left, 1) == NULL) {
        panic("native: no memory");
    }
    return image_job_run(job, error);
}

static struct image_job job_make(const instar_ImageJob *message)
{
    return (struct image_job){
        .message = message,
        .environment = &machine.environment,
        .io = io_make(&machine.arena, NATIVE_IO_REQUESTS),
        .source_count = image_job_named_count(message),
        .vcpu_count = 1,
        .ticks_khz = 1000000,
    };
}

static bool job_end(struct image_job *job, bool success, const struct error *error)
{
    if (!success) {
        messages_send_failure_of(error, job->is_opening);
        return false;
    }
    job->result.success = true;
    messages_send_complete(&job->result);
    return true;
}

bool native_run_job(const instar_ImageJob *message, const char *const *paths, const char *target, struct error *error)
{
    struct image_job job = job_make(message);
    return job_end(&job, files_open(&job, paths, target, error) && run(&job, error), error);
}

bool native_run_job_on(const instar_ImageJob *message, struct file *const *sources, struct file *target,
                       struct error *error)
{
    struct image_job job = job_make(message);
    for (uint32_t i = 0; i < message->sources_count; i++) {
        job.sources[i] = sources[i];
    }
    job.target = target;
    return job_end(&job, run(&job, error), error);
}
