/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/device_files.h"

#include <stdio.h>

#include "guest/runtime/late_file.h"

struct device_files *device_files_make(const struct boot_info *boot, struct arena *rings, struct arena *arena)
{
    struct device_files *files = arena_allocate(arena, sizeof(*files), _Alignof(struct device_files));
    uint8_t *bounce = arena_allocate(arena, DEVICE_FILE_BOUNCE_LEN, VIRTIO_BLK_SECTOR_LEN);
    if (files == NULL || bounce == NULL) {
        return NULL;
    }
    *files = (struct device_files){.boot = boot, .rings = rings, .arena = arena, .bounce = bounce};
    return files;
}

static bool bring_up(struct device_files *files, struct device_file *device_file, uint32_t device, struct error *error)
{
    snprintf(device_file->name, sizeof(device_file->name), "device %u", device);
    device_file->owner = files;
    struct virtio_blk *blk = &device_file->blk;
    struct virtio_blk_setup setup = {
        .name = device_file->name,
        .registers_gpa = LAYOUT_REGISTERS_DEVICE_GPA(device),
        .tsc_khz = files->boot->tsc_khz,
        .queue_count = 1,
        .queue_size =
            files->open_count < DEVICE_FILE_LARGE_QUEUES_MAX ? DEVICE_FILE_QUEUE_SIZE : DEVICE_FILE_SMALL_QUEUE_SIZE,
        .segment_count = DEVICE_FILE_SEGMENTS,
        .rings = files->rings,
        .arena = files->arena,
    };
    RETURN_IF_FAILED(virtio_blk_open(blk, &setup, error));
    if (blk->segment_count < DEVICE_FILE_SEGMENTS) {
        return error_set(error, ERROR_HOST, device_file->name, "the device takes only %u segments in a request",
                         blk->segment_count);
    }
    device_file->file = (struct file){
        .name = device_file->name,
        .device = device,
        .len = blk->file_len,
        .allocated_len = blk->allocated_len,
        .is_resizable = blk->is_resizable,
        .reads_as_zero = blk->is_zeroed,
        .takes_copies = blk->is_copy_target,
        .finds_zeros = blk->finds_zeros,
        .blk = blk,
        .state = device_file,
    };
    return true;
}

bool device_files_open(struct device_files *files, uint32_t device, struct file **ret_file, struct error *error)
{
    if (device >= files->boot->device_count) {
        return error_set(error, ERROR_HOST, NULL, "the machine has no device %u", device);
    }
    if (files->files[device] == NULL) {
        struct device_file *device_file =
            arena_allocate(files->arena, sizeof(*device_file), _Alignof(struct device_file));
        struct device_request *own = arena_allocate(files->arena, sizeof(*own), _Alignof(struct device_request));
        if (device_file == NULL || own == NULL) {
            return error_set(error, ERROR_LIMIT, NULL, "no memory is left for device %u", device);
        }
        own->blk.owner = own;
        device_file->own = own;
        RETURN_IF_FAILED(bring_up(files, device_file, device, error));
        files->files[device] = device_file;
        files->open_count++;
    }
    *ret_file = &files->files[device]->file;
    return true;
}

bool device_files_open_late(struct image_environment *environment, struct span name, const struct file *referrer,
                            enum image_file_use use, struct file **ret_file, struct error *error)
{
    uint32_t device;
    static const instar_OpenUse uses[] = {
        [IMAGE_FILE_BACKING] = instar_OpenUse_OPEN_BACKING,
        [IMAGE_FILE_DATA] = instar_OpenUse_OPEN_DATA,
        [IMAGE_FILE_PART] = instar_OpenUse_OPEN_PART,
        [IMAGE_FILE_NEW_PARTS] = instar_OpenUse_OPEN_NEW_PARTS,
    };
    RETURN_IF_FAILED(late_file_request(name, referrer->device, uses[use], &device, error));
    return device_files_open(environment->context, device, ret_file, error);
}
