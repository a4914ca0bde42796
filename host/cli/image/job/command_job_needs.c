/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/job/command_job_needs.h"

#include <string.h>
#include <sys/stat.h>

#include "abi/layout.h"
#include "base/checked.h"
#include "host/cli/image/names/image_extents.h"
#include "host/cli/reach.h"

/*
 * In the guest: the metadata cache, payload on its way, decompressed clusters of up to 2 MiB on all vCPUs
 * (guest/programs/image_program.c). What a job does not touch costs nothing.
 */
#define ARENA_LEN (64ull << 20)
#define ARENA_LEN_MIN (8ull << 20)
/* With 2,048 files, each of which takes 3 KiB; what is not used is not touched. Some have room in less. */
#define ARENA_LEN_PARTS (32ull << 20)
#define FEW_PARTS 256u
/* What `check` remembers of each block of the longest VDI, which has 2^30: a bit. */
#define ARENA_LEN_CHECK (192ull << 20)
/* For a key of LUKS2: cryptsetup lets Argon2 take a GiB at most, unless it is told otherwise. */
#define KEY_MEMORY_LEN ((1ull << 30) + LAYOUT_HUGE_PAGE_LEN)
/* RW 1 VMFS "a" */
#define EXTENT_LINE_LEN_MIN 12u
/* With clusters that are being compressed, on all vCPUs; with a check before a change. */
#define ARENA_LEN_LARGE (128ull << 20)
/* More for each image within another one: clusters and streams of what is below, which is read for each on its own. */
#define ARENA_LEN_LAYER (16ull << 20)

/* Whether an image is within another one, which is read to tell of the first. */
static bool has_layers(const struct command_job *job)
{
    for (unsigned int i = 0; i < command_job_input_count(job); i++) {
        if (image_name_top_layer(command_job_input(job, i)) != NULL) {
            return true;
        }
    }
    return false;
}

static bool describes_one(const struct command_job *job)
{
    return !has_layers(job) && job->message.which_operation == instar_ImageJob_info_tag &&
           !job->message.operation.info.backing_chain;
}

/* Whether it may be a descriptor of a VMDK that is a file of its own. */
static bool is_short_file(const char *path, uint64_t *ret_len)
{
    struct stat status;
    if (!reach_stat(path, &status) || !S_ISREG(status.st_mode) || status.st_size > IMAGE_DESCRIPTOR_LEN_MAX) {
        return false;
    }
    *ret_len = (uint64_t)status.st_size;
    return true;
}

/*
 * Whether one of the images may be a VMDK, which may consist of many files: by what the user says, or else by its name
 * or its length. What it is, the guest finds out.
 */
static bool may_have_parts(const struct command_job *job)
{
    static const char suffix[] = ".vmdk";
    /* Only then it leads to anything (policy_origin_has_parts). */
    bool may_lead_elsewhere = policy_allows_something(&job->options.machine.policy) && !job->writes_source;
    unsigned int count = command_job_input_count(job);
    for (unsigned int i = 0; i < count; i++) {
        const struct image_name *name = command_job_input(job, i);
        size_t len = strlen(name->path);
        bool has_suffix = len >= strlen(suffix) && strcmp(name->path + len - strlen(suffix), suffix) == 0;
        bool is_probed = name->format[0] == '\0';
        uint64_t file_len;
        if (strcmp(name->format, "vmdk") == 0 ||
            (is_probed && (has_suffix || (may_lead_elsewhere && is_short_file(name->path, &file_len))))) {
            return true;
        }
    }
    return false;
}

static uint64_t layers_len(const struct command_job *job)
{
    uint64_t layers = 0;
    for (pb_size_t i = 0; i < job->message.sources_count; i++) {
        layers += job->message.sources[i].within != 0 ? 1 : 0;
    }
    return layers * ARENA_LEN_LAYER;
}

static bool has_said_formats(const struct command_job *job)
{
    bool is_said = true;
    for (unsigned int i = 0; i < command_job_input_count(job); i++) {
        is_said = is_said && command_job_input(job, i)->format[0] != '\0';
    }
    return is_said;
}

/* The kernel makes tables for all of it at the start: 0.2 ms of info's 5. */
static uint64_t arena_len(const struct command_job *job)
{
    bool compresses = job->message.which_operation == instar_ImageJob_convert_tag &&
                      (job->message.operation.convert.compress || job->message.operation.convert.joins);
    if (describes_one(job)) {
        return job->options.machine.job.late_device_count > FEW_PARTS ? ARENA_LEN_PARTS : ARENA_LEN_MIN;
    }
    if (job->message.which_operation == instar_ImageJob_check_tag) {
        return ARENA_LEN_CHECK;
    }
    /* A check before the change has its own memory. */
    bool checks = job->message.which_operation == instar_ImageJob_snapshots_tag ||
                  (job->message.which_operation == instar_ImageJob_resize_tag && job->message.operation.resize.shrink);
    return compresses || checks ? ARENA_LEN_LARGE : ARENA_LEN;
}

/* Whether one of the images may be a LUKS volume that is opened by a secret. It costs nothing until it is touched. */
static uint64_t key_memory_len(const struct command_job *job)
{
    /* Without its key. */
    bool describes = (job->message.which_operation == instar_ImageJob_info_tag && !has_layers(job)) ||
                     job->message.which_operation == instar_ImageJob_create_tag;
    for (unsigned int i = 0; i < command_job_input_count(job) && !describes; i++) {
        const struct image_name *name = command_job_input(job, i);
        bool may_be_luks = name->has_key_secret && (name->format[0] == '\0' || strcmp(name->format, "luks") == 0);
        for (unsigned int layer = 0; layer < name->layer_count; layer++) {
            may_be_luks = may_be_luks || strcmp(name->layers[layer].format, "luks") == 0;
        }
        if (may_be_luks) {
            return KEY_MEMORY_LEN;
        }
    }
    return 0;
}

/*
 * Of one image that may have parts, and is described: as many as a descriptor of that length has lines. What is longer
 * than any descriptor has its blocks in itself: none, unless the user says that it is a VMDK.
 */
static uint32_t part_count_max(const struct command_job *job)
{
    const struct image_name *name = command_job_input(job, 0);
    uint64_t len;
    if (is_short_file(name->path, &len)) {
        return (uint32_t)min_u64(len / EXTENT_LINE_LEN_MIN + 1, JOB_LATE_DEVICE_MAX);
    }
    return name->format[0] == '\0' ? 0 : JOB_LATE_DEVICE_MAX;
}

/* Devices for the files that an image consists of, for those that are behind it, and for data files. */
static uint32_t late_device_count(const struct command_job *job, bool has_parts)
{
    const struct machine_options *machine = &job->options.machine;
    bool may_ask = policy_allows_something(&machine->policy) || machine->job.further_outputs.count > 0;
    if (has_parts) {
        if (describes_one(job) && command_job_input_count(job) == 1) {
            return part_count_max(job);
        }
        return (uint32_t)min_u64(JOB_LATE_DEVICE_MAX,
                                 JOB_DEVICE_MAX - 1u - machine->job.input_count - machine->job.further_outputs.count);
    }
    return describes_one(job) || !may_ask ? 0 : JOB_CHAIN_DEVICE_MAX;
}

void command_job_set_needs(struct command_job *job)
{
    struct job *machine_job = &job->options.machine.job;
    bool has_parts = may_have_parts(job);
    machine_job->has_said_formats = has_said_formats(job);
    machine_job->late_device_count = late_device_count(job, has_parts);
    job->message.key_memory_len = key_memory_len(job);
    machine_job->arena_len = arena_len(job) + layers_len(job) + job->message.key_memory_len;
    machine_job->arena_len_min = ARENA_LEN_MIN;
}
