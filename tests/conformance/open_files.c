/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks for files by name, and says on the debug port what came of it. The input is a list of requests: the number
 * of the device that asks (1 byte; with bit 7 the file is needed, and the program fails without it), the name's length
 * (2 bytes, little-endian), the name.
 */
#include <stdio.h>
#include <string.h>

#include "abi/ports.h"
#include "guest/drivers/virtio_blk_driver.h"
#include "guest/runtime/debug.h"
#include "guest/runtime/late_file.h"
#include "guest/runtime/messages.h"
#include "tests/conformance/conformance.h"

#define LIST_LEN_MAX (256u * 1024u)
#define NEEDED 0x80u
/* Shown of a file. */
#define CONTENT_LEN 16u

static void disk_open(struct virtio_blk *blk, struct runtime *runtime, uint32_t device)
{
    struct virtio_blk_setup setup = {
        .name = "late",
        .registers_gpa = LAYOUT_REGISTERS_DEVICE_GPA(device),
        .tsc_khz = runtime->boot->tsc_khz,
        .queue_count = 1,
        .rings = &runtime->queues,
        .arena = &runtime->arena,
    };
    struct error error = {0};
    CHECK(virtio_blk_open(blk, &setup, &error));
}

static void disk_read(struct virtio_blk *blk, struct runtime *runtime, uint8_t *data, uint64_t len)
{
    struct virtio_blk_request *request =
        arena_allocate(&runtime->arena, sizeof(*request), _Alignof(struct virtio_blk_request));
    struct error error = {0};
    virtio_blk_read(blk, 0, request, 0, data, len);
    CHECK(virtio_blk_execute(blk, 0, request, &error));
}

static void granted(struct runtime *runtime, uint32_t device)
{
    static struct virtio_blk blks[LAYOUT_DEVICE_MAX];
    struct virtio_blk *blk = &blks[device];
    disk_open(blk, runtime, device);
    CHECK(blk->is_read_only);
    uint8_t *data = arena_allocate(&runtime->arena, LAYOUT_PAGE_LEN, LAYOUT_PAGE_LEN);
    memset(data, 0, LAYOUT_PAGE_LEN);
    if (blk->file_len > 0) {
        disk_read(blk, runtime, data, VIRTIO_BLK_SECTOR_LEN);
    }
    debug_print("granted: device %u, %llu bytes: %.*s", device, (unsigned long long)blk->file_len, (int)CONTENT_LEN,
                (const char *)data);
}

void conformance_run(struct runtime *runtime)
{
    static struct virtio_blk input;
    disk_open(&input, runtime, 0);
    CHECK(input.file_len <= LIST_LEN_MAX);
    uint8_t *list = arena_allocate(&runtime->arena, LIST_LEN_MAX, LAYOUT_PAGE_LEN);
    uint64_t sectors = (input.file_len + VIRTIO_BLK_SECTOR_LEN - 1) / VIRTIO_BLK_SECTOR_LEN;
    disk_read(&input, runtime, list, sectors * VIRTIO_BLK_SECTOR_LEN);
    for (uint64_t off = 0; off < input.file_len;) {
        size_t name_len = (size_t)(list[off + 1] | list[off + 2] << 8);
        uint32_t device;
        struct error error = {0};
        if (late_file_request((struct span){list + off + 3, name_len}, list[off] & ~NEEDED, false, &device, &error)) {
            granted(runtime, device);
        } else if ((list[off] & NEEDED) == 0) {
            debug_print("refused: error %u, %s", (unsigned int)error.kind, error.detail);
        } else {
            messages_send_failure(&error);
            platform_exit(EXIT_FINISHED);
        }
        off += 3 + name_len;
    }
}
