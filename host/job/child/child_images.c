/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/child/child_images.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/backends/file_ranges.h"
#include "host/backends/find_zeros.h"
#include "host/job/transports.h"

/* An only input and the (first) output have names; guest_session.c knows them. */
static bool name_set(struct child_machine *child, struct child_device *device, unsigned int index, const char *path,
                     struct error *error)
{
    if (index == 0 && child->job->input_count == 1) {
        snprintf(device->name, sizeof(device->name), "input");
    } else if (index == child->job->input_count && index < child->image_count) {
        snprintf(device->name, sizeof(device->name), "output");
    } else {
        snprintf(device->name, sizeof(device->name), "device %u", index);
    }
    device->path = strdup(path);
    return device->path != NULL || error_set(error, ERROR_HOST, NULL, "out of memory");
}

/*
 * Late devices have one queue: their images are read for what they say, not for bulk. So have outputs behind the first
 * ones, of which an image may have thousands, and writes to one after the other. The input is the other machine's,
 * where there are two, at the same place, and out of reach for what devices of one machine do among each other.
 */
static bool device_init(struct child_machine *child, struct child_device *device, unsigned int index,
                        struct error *error)
{
    const struct job *job = child->job;
    bool is_late = index >= child->own_count;
    struct child_peer *reader = index == 0 ? child->reader : NULL;
    struct machine *machine = reader != NULL ? &reader->machine : &child->machine;
    struct virtio_blk_setup setup = {
        .index = index,
        .queue_count = is_late ? 1 : machine->vcpu_count,
        .use_ioeventfd = job->use_ioeventfd,
        .thread = &child->threads[is_late ? child->own_count : index],
        .bank = reader != NULL ? &reader->bank : &child->bank,
        .is_late = is_late,
        .peers = reader != NULL ? NULL : &child->peers,
        .copy_helper = child->has_copy_helper ? &child->copy_helper.helper : NULL,
    };
    device->has_blk = virtio_blk_init(&device->blk, machine, &setup, error);
    return device->has_blk;
}

/* The backend has the file now, perhaps by another number, and perhaps keeps the content elsewhere until the end. */
static struct write_room room_of(const struct virtio_blk_medium *medium, const struct backend *backend)
{
    struct write_room room = medium->room;
    room.fd = backend->fd;
    room.content_fd = backend->data_fd;
    return room;
}

bool child_image_attach(struct child_machine *child, const struct backend_config *config,
                        const struct virtio_blk_medium *medium, struct error *error)
{
    unsigned int index = child->attached_count;
    struct child_device *device = calloc(1, sizeof(*device));
    if (device == NULL) {
        close(config->fd);
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    child->devices[index] = device;
    device->backend = backend_open(config, error);
    if (device->backend == NULL || !name_set(child, device, index, config->path, error)) {
        return false;
    }
    if (index < child->image_count && !transport_has_disks(transport_of(child->job))) {
        device->file = (struct transport_file){
            .name = device->name,
            .backend = device->backend,
            .zeroed = medium->zeroed,
            .room = room_of(medium, device->backend),
        };
        atomic_store_explicit(&child->attached_count, index + 1, memory_order_release);
        return true;
    }
    RETURN_IF_FAILED(device_init(child, device, index, error));
    struct virtio_blk_medium own_medium = *medium;
    own_medium.name = device->name;
    own_medium.backend = device->backend;
    own_medium.room = room_of(medium, device->backend);
    own_medium.finds_zeros = child->job->want_copies && backend_finds_zeros(device->backend);
    RETURN_IF_FAILED(virtio_blk_attach(&device->blk, &own_medium, error));
    /* Now the late devices' thread may see it. */
    atomic_store_explicit(&child->attached_count, index + 1, memory_order_release);
    return true;
}

void child_images_close(const struct child_ties *ties)
{
    for (unsigned int i = 0; i < ties->image_count; i++) {
        close(ties->images[i].fd);
    }
}

/* What may be stored in an output. */
static bool output_bound(struct child_machine *child, const struct child_image *image, struct virtio_blk_medium *medium,
                         struct error *error)
{
    /* Of one that still has what it had, the device asks later: the question counts as a change of the file. */
    medium->zeros_are_written =
        image->is_regular && !image->has_old_content && file_has_no_holes(image->fd, image->len);
    if (!image->is_regular) {
        medium->room = write_room_of_budget(&child->write_budget);
        return true;
    }
    return write_room_of_file(&medium->room, &child->write_budget, image->fd, child->job->limits.min_free_len, error);
}

bool child_images_attach(struct child_machine *child, const struct child_ties *ties, struct error *error)
{
    bool is_attached = true;
    for (unsigned int i = 0; i < ties->image_count; i++) {
        const struct child_image *image = &ties->images[i];
        if (!is_attached) {
            close(image->fd);
            continue;
        }
        struct backend_config config = {
            .kind = image->image->backend,
            .path = image->image->path,
            .fd = image->fd,
            .len = image->len,
            .writable = image->is_output,
            .has_old_content = image->has_old_content,
            .is_flushed = child->job->flushes_outputs,
            .written_fd_min = ties->output_fd_first,
        };
        struct virtio_blk_medium medium = {
            .sector_len = image->image->sector_len,
            .zeroed = image->zeroed,
            .is_resizable = image->is_resizable,
            .is_copy_target = image->is_output && child->job->want_copies,
            .allocated_len = image->allocated_len,
        };
        if (image->is_output && !output_bound(child, image, &medium, error)) {
            close(image->fd);
            is_attached = false;
            continue;
        }
        is_attached = child_image_attach(child, &config, &medium, error);
    }
    return is_attached;
}
