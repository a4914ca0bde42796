/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/child_machine.h"

#include <errno.h>
#include <inttypes.h>
#include <pb_encode.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"

/* A transfer buffer in the guest has the size of the largest sector, but this at least (guest/operations). */
#define TRANSFER_LEN_MIN (1024ull * 1024ull)
#define TRANSFER_COUNT_DEFAULT 16u
/* Memory for transfers: keeps a job under 128 MiB whatever sector sizes and queue depth it has. */
#define TRANSFER_MEMORY_MAX (64ull * 1024ull * 1024ull)
/* For everything else in the guest's arena: request headers, indirect tables, extents. */
#define ARENA_SLACK_LEN LAYOUT_HUGE_PAGE_LEN

static uint64_t arena_len(const struct job *job)
{
    uint64_t transfer_len = max_u64(max_u64(job->input.sector_len, job->output.sector_len), TRANSFER_LEN_MIN);
    uint64_t count = job->queue_depth != 0 ? job->queue_depth : TRANSFER_COUNT_DEFAULT;
    /* Two transfers at least, so that reading and writing overlap. */
    uint64_t len = max_u64(min_u64(count * transfer_len, TRANSFER_MEMORY_MAX), 2 * transfer_len);
    return round_up(len + ARENA_SLACK_LEN, LAYOUT_HUGE_PAGE_LEN);
}

/* The message that the guest waits for: what the job wants. */
static bool config_encode(const struct job *job, uint8_t body[FRAME_BODY_MAX], size_t *ret_len, struct error *error)
{
    instar_VmmConfig config = {
        .devices_count = CHILD_DEVICE_COUNT,
        .devices = {{.name = "input", .sector_size = job->input.sector_len},
                    {.name = "output", .sector_size = job->output.sector_len}},
        .progress_percent = job->progress_percent,
        .request_len = job->request_len,
        .queue_depth = job->queue_depth,
        .sync = job->sync,
    };
    pb_ostream_t stream = pb_ostream_from_buffer(body, FRAME_BODY_MAX);
    if (!pb_encode(&stream, instar_VmmConfig_fields, &config)) {
        return error_set(error, ERROR_HOST, NULL, "cannot encode the configuration: %s", PB_GET_ERROR(&stream));
    }
    *ret_len = stream.bytes_written;
    return true;
}

static bool ports_init(struct child_machine *child, const struct job *job,
                       const struct child_machine_handlers *handlers, struct error *error)
{
    uint8_t body[FRAME_BODY_MAX];
    size_t body_len;
    RETURN_IF_FAILED(config_encode(job, body, &body_len, error));
    RETURN_IF_FAILED(debug_port_init(&child->debug_port, &child->machine, job->want_debug ? handlers->debug_line : NULL,
                                     handlers->context, error));
    control_ports_init(&child->control_ports, &child->machine, &child->debug_port);
    return message_port_init(&child->message_port, &child->machine, (struct span){body, body_len}, handlers->message,
                             handlers->context, error);
}

static bool device_init(struct child_machine *child, unsigned int index, const struct job *job,
                        const struct child_image *image, struct error *error)
{
    struct child_device *device = &child->devices[index];
    struct virtio_blk_setup setup = {
        .name = index == CHILD_DEVICE_INPUT ? "input" : "output",
        .index = index,
        .backend = device->backend,
        .sector_len = index == CHILD_DEVICE_INPUT ? job->input.sector_len : job->output.sector_len,
        .queue_count = job->vcpu_count,
        .zeroed = image->zeroed,
        .use_ioeventfd = job->use_ioeventfd,
    };
    device->has_blk = virtio_blk_init(&device->blk, &child->machine, &setup, error);
    return device->has_blk;
}

/* Takes both descriptors over, also when it fails. */
static bool images_open(struct child_machine *child, const struct job *job, const struct child_image *images,
                        struct error *error)
{
    bool is_open = true;
    for (unsigned int i = 0; i < CHILD_DEVICE_COUNT; i++) {
        if (!is_open) {
            close(images[i].fd);
            continue;
        }
        struct backend_config config = {
            .kind = job->backend,
            .path = images[i].path,
            .fd = images[i].fd,
            .len = images[i].len,
            .writable = i == CHILD_DEVICE_OUTPUT,
        };
        child->devices[i].path = images[i].path;
        child->devices[i].backend = backend_open(&config, error);
        is_open = child->devices[i].backend != NULL;
    }
    return is_open;
}

static bool devices_init(struct child_machine *child, const struct job *job, const struct child_image *images,
                         struct error *error)
{
    for (unsigned int i = 0; i < CHILD_DEVICE_COUNT; i++) {
        RETURN_IF_FAILED(device_init(child, i, job, &images[i], error));
    }
    return true;
}

static bool program_load(struct child_machine *child, const struct job *job, struct error *error)
{
    static const enum boot_device_role roles[CHILD_DEVICE_COUNT] = {BOOT_DEVICE_INPUT, BOOT_DEVICE_OUTPUT};
    if (!machine_load(&child->machine, job->program, roles, error)) {
        error_add_place(error, job->program_name);
        return false;
    }
    return true;
}

bool child_machine_init(struct child_machine *child, const struct job *job, const struct child_image *images,
                        const struct child_machine_handlers *handlers, struct error *error)
{
    memset(child, 0, sizeof(*child));
    struct machine_config config = {
        .engine = &kvm_engine,
        .vcpu_count = job->vcpu_count,
        .device_count = CHILD_DEVICE_COUNT,
        .arena_len = arena_len(job),
    };
    bool has_machine = false;
    if (images_open(child, job, images, error)) {
        has_machine = machine_init(&child->machine, &config, error);
    }
    if (has_machine && ports_init(child, job, handlers, error) && devices_init(child, job, images, error) &&
        program_load(child, job, error)) {
        return true;
    }
    struct error ignored = {0};
    child_machine_close_images(child, false, &ignored);
    if (has_machine) {
        child_machine_release(child);
    }
    return false;
}

bool child_machine_start(struct child_machine *child, struct error *error)
{
    for (unsigned int i = 0; i < CHILD_DEVICE_COUNT; i++) {
        if (!virtio_blk_start(&child->devices[i].blk, error)) {
            machine_end(&child->machine, error);
            return false;
        }
    }
    return machine_start(&child->machine, error);
}

bool child_machine_stop(struct child_machine *child, struct error *error)
{
    bool ended_well = machine_join(&child->machine, error);
    for (unsigned int i = 0; i < CHILD_DEVICE_COUNT; i++) {
        virtio_blk_stop(&child->devices[i].blk);
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
    for (unsigned int i = 0; i < CHILD_DEVICE_COUNT; i++) {
        struct child_device *device = &child->devices[i];
        if (device->backend == NULL) {
            continue;
        }
        int result = backend_close(device->backend, keep);
        device->backend = NULL;
        device->blk.backend = NULL;
        if (result != 0 && keep) {
            is_kept = error_set(error, result == ENOSPC ? ERROR_NO_SPACE : ERROR_IO, device->path, "cannot close: %s",
                                strerror(result));
        }
    }
    return is_kept;
}

static const char *operation_verb(enum backend_operation_kind kind)
{
    static const char *const verbs[] = {
        [BACKEND_READ] = "read",
        [BACKEND_WRITE] = "write",
        [BACKEND_FLUSH] = "flush",
        [BACKEND_DISCARD] = "discard",
        [BACKEND_WRITE_ZEROES] = "write zeros",
    };
    return verbs[kind];
}

bool child_machine_failure(struct child_machine *child, struct error *ret_failure)
{
    for (unsigned int i = 0; i < CHILD_DEVICE_COUNT; i++) {
        const struct virtio_blk_failure *failure = &child->devices[i].blk.failure;
        int errno_value = failure->errno_value;
        if (errno_value == 0) {
            continue;
        }
        bool is_full = errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EFBIG;
        error_fill(ret_failure, is_full ? ERROR_NO_SPACE : ERROR_IO, child->devices[i].path,
                   "cannot %s at offset %" PRIu64 ": %s", operation_verb(failure->kind), failure->off,
                   strerror(errno_value));
        return true;
    }
    return false;
}

void child_machine_release(struct child_machine *child)
{
    machine_end(&child->machine, NULL);
    for (unsigned int i = 0; i < CHILD_DEVICE_COUNT; i++) {
        if (child->devices[i].has_blk) {
            virtio_blk_release(&child->devices[i].blk);
        }
    }
    machine_release(&child->machine);
    message_port_release(&child->message_port);
    debug_port_release(&child->debug_port);
}
