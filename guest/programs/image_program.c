/* SPDX-License-Identifier: Apache-2.0 */
/* The program that works on disk images, as an ImageJob says. */
#include "abi/layout.h"
#include "abi/ports.h"
#include "base/checked.h"
#include "guest/crypto/wipe.h"
#include "guest/drivers/message_console.h"
#include "guest/image/device_files.h"
#include "guest/operations/job/image_job.h"
#include "guest/runtime/messages.h"
#include "guest/runtime/runtime.h"
#include "guest/runtime/workers.h"

/*
 * The cache of metadata: a quarter of the arena, 1 to 9 MiB. Odd numbers of MiB, so that its end and what comes from
 * the arena next share a huge page: small images touch no other one.
 */
#define CACHE_BLOCKS_PER_MIB ((1u << 20) / CACHE_BLOCK_LEN)
#define CACHE_MIB_MAX 9u

#define IO_REQUESTS 63u

/* Of the arena, before any of it is for keys only. */
#define KEYLESS_LEN_MIN (8ull << 20)

_Static_assert(IO_REQUESTS < DEVICE_FILE_QUEUE_SIZE, "all requests may be on one device");

static uint32_t cache_block_count(const struct arena *arena)
{
    uint64_t mib = (arena_left(arena, 1) >> 20) / 4;
    mib = min_u64(mib, CACHE_MIB_MAX);
    return (uint32_t)(mib % 2 == 0 ? max_u64(mib, 2) - 1 : mib) * CACHE_BLOCKS_PER_MIB;
}

/* Whether the host has room for files that images lead to. */
static bool has_late_devices(const struct boot_info *boot)
{
    for (uint32_t i = 0; i < boot->device_count; i++) {
        if (boot->devices[i].role == BOOT_DEVICE_LATE) {
            return true;
        }
    }
    return false;
}

/*
 * What the arena has beyond what operations work with is for keys: those take it for as long as they are made, so that
 * it is no reason for anybody else to take more memory.
 */
static struct arena *split_off_keys(struct arena *arena, uint64_t key_memory_len)
{
    static struct arena keys;
    uint64_t left = arena_left(arena, LAYOUT_HUGE_PAGE_LEN);
    if (key_memory_len == 0 || left < key_memory_len || left - key_memory_len < KEYLESS_LEN_MIN) {
        return arena; /* the job's limit leaves less */
    }
    arena_init(&keys, arena->end_gpa - key_memory_len, key_memory_len);
    arena->end_gpa -= key_memory_len;
    return &keys;
}

static bool set_up(struct runtime *runtime, uint64_t key_memory_len, struct image_environment *ret_environment,
                   struct io **ret_io, struct error *error)
{
    struct arena *arena = &runtime->arena;
    struct arena *keys = split_off_keys(arena, key_memory_len);
    struct cache *cache = cache_make(arena, cache_block_count(arena));
    struct device_files *files = device_files_make(runtime->boot, &runtime->queues, arena);
    struct io *io = io_make(arena, IO_REQUESTS);
    if (cache == NULL || files == NULL || io == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "the machine has too little memory: an arena of %llu bytes",
                         (unsigned long long)runtime->boot->arena_len);
    }
    *ret_environment = (struct image_environment){
        .arena = arena,
        .key_arena = keys,
        .cache = cache,
        .io = io,
        .open_file = device_files_open_late,
        .context = files,
        .leads_nowhere = !has_late_devices(runtime->boot),
    };
    *ret_io = io;
    message_console_offer(runtime->boot, arena);
    return true;
}

/* The first device of this role; where there is none, the device behind all. */
static uint32_t first_device(const struct boot_info *boot, uint8_t role)
{
    uint32_t device = 0;
    while (device < boot->device_count && boot->devices[device].role != role) {
        device++;
    }
    return device;
}

static bool open_targets(struct image_job *job, const struct boot_info *boot, struct error *error)
{
    struct device_files *files = job->environment->context;
    uint32_t first = first_device(boot, BOOT_DEVICE_OUTPUT);
    uint32_t end = first;
    while (end < boot->device_count && boot->devices[end].role == BOOT_DEVICE_OUTPUT) {
        end++;
    }
    if (end == first) {
        return true;
    }
    RETURN_IF_FAILED(device_files_open(files, first, &job->target, error));
    uint32_t count = end - first - 1;
    job->further_targets =
        arena_allocate(job->environment->arena, (count + 1) * sizeof(struct file *), _Alignof(struct file *));
    if (job->further_targets == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for %u files", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        RETURN_IF_FAILED(device_files_open(files, first + 1 + i, &job->further_targets[i], error));
        job->further_target_count++;
    }
    return true;
}

/* The files that the user named. */
static bool open_files(struct image_job *job, const struct boot_info *boot, struct error *error)
{
    struct device_files *files = job->environment->context;
    uint32_t count = image_job_source_count(job->message);
    for (uint32_t i = 0; i < count; i++) {
        if (i < job->message->sources_count && job->message->sources[i].within != 0) {
            continue; /* its file is no device's */
        }
        uint32_t device = image_job_source_device(job->message, i);
        RETURN_IF_FAILED(device_files_open(files, device, &job->sources[i], error));
    }
    return open_targets(job, boot, error);
}

static bool run(struct runtime *runtime, struct image_job *job, struct error *error)
{
    static struct image_environment environment;
    RETURN_IF_FAILED(set_up(runtime, job->message->key_memory_len, &environment, &job->io, error));
    job->environment = &environment;
    RETURN_IF_FAILED(open_files(job, runtime->boot, error));
    return image_job_run(job, error);
}

uint32_t program_main(struct runtime *runtime)
{
    static instar_ImageJob message;
    static struct image_job job;
    struct error error = {0};
    if (!messages_receive_job(&message, &error)) {
        panic("%s", error.detail);
    }
    messages_post_init("image", runtime->boot->vcpu_count, image_job_source_count(&message));
    job.message = &message;
    job.source_count = image_job_named_count(&message);
    job.vcpu_count = runtime->boot->vcpu_count;
    job.ticks_khz = runtime->boot->tsc_khz;
    bool success = run(runtime, &job, &error);
    wipe(message.secrets, sizeof(message.secrets));
    wipe(&message.identity, sizeof(message.identity)); /* what keys of a new image are made of */
    if (!success) {
        messages_send_failure_of(&error, job.is_opening);
        return EXIT_FINISHED;
    }
    job.result.success = true;
    messages_send_complete(&job.result);
    return EXIT_FINISHED;
}

void program_worker(const struct boot_info *boot, uint32_t vcpu)
{
    (void)boot;
    workers_run(vcpu);
}
