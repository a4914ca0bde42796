/* SPDX-License-Identifier: Apache-2.0 */
/* The transport pipe: commands in a control sector, data in regions of a disk (abi/transports/sector_disk.h). */
#include <string.h>

#include "abi/transports/sector_disk.h"
#include "base/checked.h"
#include "guest/transports/disk_requests.h"
#include "guest/transports/transport_kinds.h"

struct sector_pipe {
    struct transport transport; /* first */
    struct virtio_blk blk;
    struct disk_requests requests;
    struct pipe_control *control; /* a sector in the arena */
};

static bool control_read(struct sector_pipe *pipe, const char *what, struct error *error)
{
    struct disk_range range = {PIPE_CONTROL_OFF, pipe->control, SECTOR_DISK_SECTOR_LEN};
    RETURN_IF_FAILED(disk_requests_read(&pipe->requests, &pipe->blk, &range, 1, error));
    return pipe->control->status == SECTOR_DISK_READY ||
           error_set(error, ERROR_IO, what, "the device reports an I/O error");
}

static bool execute(struct sector_pipe *pipe, enum pipe_command command, uint64_t off, uint64_t len, const char *what,
                    struct error *error)
{
    struct disk_range range = {PIPE_CONTROL_OFF, pipe->control, SECTOR_DISK_SECTOR_LEN};
    *pipe->control = (struct pipe_control){.command = command, .off = off, .len = len};
    RETURN_IF_FAILED(disk_requests_write(&pipe->requests, &pipe->blk, &range, 1, error));
    return control_read(pipe, what, error);
}

static bool pipe_open(const struct transport_setup *setup, struct transport **ret_transport, struct error *error)
{
    struct sector_pipe *pipe = arena_allocate(setup->arena, sizeof(*pipe), _Alignof(struct sector_pipe));
    void *control = arena_allocate(setup->arena, SECTOR_DISK_SECTOR_LEN, SECTOR_DISK_SECTOR_LEN);
    if (pipe == NULL || control == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for a transport");
    }
    pipe->control = control;
    RETURN_IF_FAILED(disk_open(&pipe->blk, 0, "pipe", setup, error));
    RETURN_IF_FAILED(disk_requests_make(&pipe->requests, &pipe->blk, setup, error));
    RETURN_IF_FAILED(control_read(pipe, "pipe", error));
    pipe->transport = (struct transport){
        .operations = &sector_pipe_transport,
        .input_len = pipe->control->input_len,
        .is_output_zeroed = (setup->boot->transport.flags & BOOT_TRANSPORT_OUTPUT_ZEROED) != 0,
    };
    *ret_transport = &pipe->transport;
    return true;
}

static bool pipe_read(struct transport *transport, uint64_t off, void *data, uint64_t len, struct error *error)
{
    struct sector_pipe *pipe = (struct sector_pipe *)transport;
    uint64_t part_len = 0;
    for (uint64_t done_len = 0; done_len < len; done_len += part_len) { /* ends: no part is empty */
        part_len = min_u64(len - done_len, PIPE_REGION_LEN);
        struct disk_range range = {PIPE_INPUT_OFF, (uint8_t *)data + done_len, part_len};
        RETURN_IF_FAILED(execute(pipe, PIPE_FETCH, off + done_len, part_len, "input", error));
        RETURN_IF_FAILED(disk_requests_read(&pipe->requests, &pipe->blk, &range, 1, error));
    }
    return true;
}

static bool pipe_write(struct transport *transport, uint64_t off, const void *data, uint64_t len, struct error *error)
{
    struct sector_pipe *pipe = (struct sector_pipe *)transport;
    uint64_t part_len = 0;
    for (uint64_t done_len = 0; done_len < len; done_len += part_len) { /* ends: no part is empty */
        part_len = min_u64(len - done_len, PIPE_REGION_LEN);
        struct disk_range range = {PIPE_OUTPUT_OFF, (uint8_t *)(uintptr_t)data + done_len, part_len};
        RETURN_IF_FAILED(disk_requests_write(&pipe->requests, &pipe->blk, &range, 1, error));
        RETURN_IF_FAILED(execute(pipe, PIPE_STORE, off + done_len, part_len, "output", error));
    }
    return true;
}

static bool pipe_flush(struct transport *transport, struct error *error)
{
    return execute((struct sector_pipe *)transport, PIPE_FLUSH, 0, 0, "output", error);
}

const struct transport_operations sector_pipe_transport = {
    .name = "pipe",
    .id = TRANSPORT_SECTOR_PIPE,
    .open = pipe_open,
    .read = pipe_read,
    .write = pipe_write,
    .flush = pipe_flush,
};
