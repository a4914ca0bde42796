/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/child/child_jail.h"

#include <string.h>

#include "host/devices/virtio_blk_device.h"
#include "host/job/transports.h"

/* Address space for the heap after the start: extents, messages, the kernel's statistics. A few hundred KiB. */
#define HEAP_GROWTH_LEN (16ull * 1024 * 1024)
/*
 * And for each late device that comes: its structures, and a backend. What never comes takes none of it.
 */
#define LATE_DEVICE_GROWTH_LEN (56ull * 1024)
_Static_assert(sizeof(struct virtio_blk) + VIRTIO_BLK_LATE_OPERATION_COUNT * sizeof(struct virtio_blk_operation) +
                       4096 <=
                   LATE_DEVICE_GROWTH_LEN,
               "a late device has room");
/* The windows of the mmap backend: at most 16 MiB for each image (host/backends/mmap.c). */
#define WINDOW_GROWTH_LEN (16ull * 1024 * 1024)

/* Of what is written past the page cache, bytes; more than any file system's. */
#define WRITTEN_ALIGN_MAX (1ull << 20)

static uint32_t backend_part(enum backend_kind kind)
{
    static const uint32_t parts[] = {
        [BACKEND_REGULAR] = JAIL_BACKEND_REGULAR, [BACKEND_DIRECT] = JAIL_BACKEND_DIRECT,
        [BACKEND_MMAP] = JAIL_BACKEND_MMAP,       [BACKEND_IO_URING] = JAIL_BACKEND_IO_URING,
        [BACKEND_MEMORY] = JAIL_BACKEND_MEMORY,
    };
    return parts[kind];
}

static void image_add(struct jail_config *config, const struct job_image *image)
{
    config->parts |= backend_part(image->backend);
    config->growth_len += image->backend == BACKEND_MMAP ? WINDOW_GROWTH_LEN : 0;
}

/* The longest that a file may become. Not known where the guest sets a length. */
static void file_len_bound(struct jail_config *config, const struct child_ties *ties)
{
    config->has_file_len = (config->parts & (JAIL_RESIZABLE_OUTPUT | JAIL_BACKEND_MEMORY)) == 0;
    for (unsigned int i = 0; i < ties->image_count; i++) {
        const struct child_image *image = &ties->images[i];
        /* Up to the end of a block, for writes past the page cache. */
        uint64_t len = image->is_output ? image->len + WRITTEN_ALIGN_MAX : 0;
        config->file_len_max = len > config->file_len_max ? len : config->file_len_max;
    }
}

struct jail_config child_jail_config(const struct job *job, const struct child_ties *ties)
{
    struct jail_config config = {
        .late_file_count = job->late_device_count,
        .growth_len = HEAP_GROWTH_LEN + job->late_device_count * LATE_DEVICE_GROWTH_LEN,
        .output_first = (uint32_t)ties->output_fd_first,
        .input_first = (uint32_t)ties->input_fd_first,
        .network_fd = ties->network_fd >= 0 ? ties->network_fd : 0,
    };
    for (unsigned int i = 0; i < job->input_count; i++) {
        image_add(&config, &job->inputs[i]);
    }
    if (job->output_kind != JOB_OUTPUT_NONE) {
        image_add(&config, &job->output);
    }
    for (unsigned int i = 0; i < job->further_outputs.count; i++) {
        image_add(&config, &job->further_outputs.list[i].image);
    }
    /* Late files, whatever the others are reached by. */
    config.parts |= job->late_device_count > 0 ? JAIL_BACKEND_REGULAR : 0;
    config.parts |= ties->engine == &kvm_engine ? JAIL_ENGINE_KVM : JAIL_ENGINE_PROCESS;
    config.parts |= job->late_device_count > 0 ? JAIL_LATE_FILES : 0;
    config.parts |= job->want_copies ? JAIL_COPIES : 0;
    config.parts |= job->output_len == JOB_OUTPUT_AS_GUEST_SAYS ? JAIL_RESIZABLE_OUTPUT : 0;
    config.parts |= transport_of(job)->jail_parts;
    config.parts |= transport_of(job)->device != NULL ? JAIL_VCPU_FILES : 0;
    bool has_output = job->output_kind != JOB_OUTPUT_NONE;
    config.parts |= has_output && job->limits.min_free_len != 0 ? JAIL_MIN_FREE : 0;
    config.parts |= job->want_statistics ? JAIL_STATISTICS : 0;
    file_len_bound(&config, ties);
    return config;
}
