/* SPDX-License-Identifier: Apache-2.0 */
/* The program that copies device 0 to device 1, as VmmConfig says. */
#include <string.h>

#include "abi/ports.h"
#include "base/checked.h"
#include "guest/operations/copy/copy_device.h"
#include "guest/runtime/messages.h"
#include "guest/runtime/runtime.h"

static const char *const device_names[] = {"input", "output"};

struct device {
    struct virtio_blk blk;
    uint32_t sector_len; /* bytes */
};

/* The configuration's, if it has one for this device; otherwise the device's own. */
static uint32_t sector_len_of(const instar_VmmConfig *config, const struct device *device, const char *name)
{
    for (pb_size_t i = 0; i < config->devices_count; i++) {
        if (strcmp(config->devices[i].name, name) == 0 && config->devices[i].sector_size != 0) {
            return config->devices[i].sector_size;
        }
    }
    return device->blk.block_len;
}

static bool open_device(struct device *device, uint32_t index, struct runtime *runtime, const instar_VmmConfig *config,
                        struct error *error)
{
    const char *name = device_names[index];
    struct virtio_blk_setup setup = {
        .name = name,
        .registers_gpa = LAYOUT_REGISTERS_DEVICE_GPA(index),
        .tsc_khz = runtime->boot->tsc_khz,
        .queue_count = 1,
        .rings = &runtime->queues,
        .arena = &runtime->arena,
    };
    RETURN_IF_FAILED(virtio_blk_open(&device->blk, &setup, error));
    device->sector_len = sector_len_of(config, device, name);
    if (!is_power_of_two(device->sector_len) || device->sector_len < VIRTIO_BLK_SECTOR_LEN) {
        return error_set(error, ERROR_USAGE, name, "sectors of %u bytes: not a power of two from 512 on",
                         device->sector_len);
    }
    messages_send_capacity(name, device->blk.file_len, device->sector_len);
    return true;
}

static bool run(struct runtime *runtime, const instar_VmmConfig *config, struct copy_result *ret_result,
                struct error *error)
{
    static struct device input, output;
    if (runtime->boot->device_count < ARRAY_COUNT(device_names)) {
        return error_set(error, ERROR_HOST, NULL, "a copy needs two devices");
    }
    RETURN_IF_FAILED(open_device(&input, 0, runtime, config, error));
    RETURN_IF_FAILED(open_device(&output, 1, runtime, config, error));
    struct copy_options options = {
        .input = &input.blk,
        .output = &output.blk,
        .input_sector_len = input.sector_len,
        .output_sector_len = output.sector_len,
        .request_len = config->request_len,
        .transfer_count = config->queue_depth,
        .progress_percent = config->progress_percent,
        .sync = config->sync,
        .arena = &runtime->arena,
    };
    return copy_run(&options, ret_result, error);
}

uint32_t program_main(struct runtime *runtime)
{
    static instar_VmmConfig config;
    struct error error = {0};
    struct copy_result result;
    if (!messages_receive_config(&config, &error)) {
        panic("%s", error.detail);
    }
    messages_post_init("copy", runtime->boot->vcpu_count, config.devices_count);
    if (!run(runtime, &config, &result, &error)) {
        messages_send_failure(&error);
        return EXIT_FINISHED;
    }
    instar_CompleteMessage complete = {
        .success = true,
        .bytes_read = result.bytes_read,
        .bytes_written = result.bytes_written,
        .bytes_zero = result.bytes_zero,
    };
    messages_send_complete(&complete);
    return EXIT_FINISHED;
}
