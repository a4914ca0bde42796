/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/sector_pipe_device.h"

#include <inttypes.h>
#include <string.h>

#include "abi/transports/sector_disk.h"
#include "host/devices/sector_disk_device.h"

static bool len_check(const struct pipe_control *control, struct error *error)
{
    return control->len <= PIPE_REGION_LEN ||
           error_set(error, ERROR_GUEST, "pipe", "the guest wants %" PRIu64 " bytes at once, more than a region has",
                     control->len);
}

static bool command_execute(struct sector_disk *disk, const struct pipe_control *control, int *ret_errno,
                            struct error *error)
{
    switch (control->command) {
    case PIPE_FETCH:
        return len_check(control, error) &&
               transport_file_read(disk->input, control->off, disk->content + PIPE_INPUT_OFF, control->len, ret_errno,
                                   error);
    case PIPE_STORE:
        return len_check(control, error) &&
               transport_file_write(disk->output, control->off, disk->content + PIPE_OUTPUT_OFF, control->len,
                                    ret_errno, error);
    case PIPE_FLUSH:
        *ret_errno = transport_file_flush(disk->output);
        return true;
    default:
        return error_set(error, ERROR_GUEST, "pipe", "the guest gave the unknown command %" PRIu32, control->command);
    }
}

static bool control_take(struct sector_disk *disk, struct error *error)
{
    struct pipe_control control;
    int result = 0;
    memcpy(&control, disk->content + PIPE_CONTROL_OFF, sizeof(control));
    RETURN_IF_FAILED(command_execute(disk, &control, &result, error));
    control.status = result == 0 ? SECTOR_DISK_READY : SECTOR_DISK_FAILED;
    control.input_len = disk->input->backend->len;
    memcpy(disk->content + PIPE_CONTROL_OFF, &control, sizeof(control));
    return true;
}

static bool sector_pipe_make(const struct transport_device_setup *setup, struct transport_device **ret_device,
                             struct error *error)
{
    struct sector_disk_config config = {
        .operations = &sector_pipe_device,
        .name = "pipe",
        .len = PIPE_DISK_LEN,
        .control_off = PIPE_CONTROL_OFF,
        .handler = control_take,
    };
    struct sector_disk *disk;
    RETURN_IF_FAILED(sector_disk_make(setup, &config, sizeof(*disk), &disk, error));
    struct pipe_control control = {.input_len = disk->input->backend->len};
    memcpy(disk->content + PIPE_CONTROL_OFF, &control, sizeof(control));
    *ret_device = &disk->device;
    return true;
}

const struct transport_device_operations sector_pipe_device = {
    .make = sector_pipe_make,
    .release = sector_disk_release,
};
