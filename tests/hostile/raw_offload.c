/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/raw_offload.h"

#include <stddef.h>
#include <string.h>

#include "guest/runtime/runtime.h"

void offload_open(struct offload *offload, struct runtime *runtime)
{
    raw_ring_open(&offload->input, runtime, RAW_INPUT);
    raw_ring_open(&offload->output, runtime, RAW_OUTPUT);
    offload->request = raw_request_make(runtime, 0, 0);
    offload->data = raw_memory(runtime, LAYOUT_PAGE_LEN);
}

static uint8_t run(struct offload *offload, uint32_t type, const void *argument, uint32_t len)
{
    memcpy(offload->data, argument, len);
    offload->request->header.type = type;
    offload->request->header.sector = 0;
    return raw_request_run(&offload->output, offload->request, offload->data, len, false);
}

uint8_t offload_set_len(struct offload *offload, uint64_t len)
{
    struct virtio_blk_set_len argument = {.len = len};
    return run(offload, VIRTIO_BLK_T_INSTAR_SET_LEN, &argument, sizeof(argument));
}

uint8_t offload_copy(struct offload *offload, const struct virtio_blk_copy *copy)
{
    return run(offload, VIRTIO_BLK_T_INSTAR_COPY, copy, sizeof(*copy));
}

void offload_start(struct offload *offload, struct runtime *runtime, uint64_t len)
{
    offload_open(offload, runtime);
    if (offload_set_len(offload, len) != VIRTIO_BLK_S_OK) {
        panic("cannot set the output's length");
    }
}

uint64_t offload_file_len(const struct raw_ring *ring)
{
    const uint32_t off = VIRTIO_MMIO_CONFIG + VIRTIO_BLK_INSTAR_CONFIG_OFF +
                         (uint32_t)offsetof(struct virtio_blk_instar_config, file_len);
    return raw_load(ring->registers_gpa, off) | (uint64_t)raw_load(ring->registers_gpa, off + 4) << 32;
}
