/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-blk disk each for input and output, on the driver that all programs have. A call becomes requests of
 * request_len bytes, `depth` of them in the queue. Who serves the disks, the VMM or (vhost-user-blk) another process,
 * makes no difference.
 */
#include "base/checked.h"
#include "guest/transports/disk_requests.h"
#include "guest/transports/transport_kinds.h"

struct disks {
    struct transport transport; /* first */
    struct virtio_blk input;
    struct virtio_blk output;
    struct disk_requests requests; /* for one of them at a time */
};

static bool disks_open(const struct transport_setup *setup, struct transport **ret_transport, struct error *error)
{
    struct disks *disks = arena_allocate(setup->arena, sizeof(*disks), _Alignof(struct disks));
    if (disks == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for two disks");
    }
    RETURN_IF_FAILED(disk_open(&disks->input, 0, "input", setup, error));
    RETURN_IF_FAILED(disk_open(&disks->output, 1, "output", setup, error));
    if (disks->output.capacity_len < disks->input.file_len) {
        return error_set(error, ERROR_USAGE, "output", "has %llu bytes, less than the input's %llu",
                         (unsigned long long)disks->output.capacity_len, (unsigned long long)disks->input.file_len);
    }
    RETURN_IF_FAILED(disk_requests_make(&disks->requests, &disks->input, setup, error));
    disks->requests.request_len = min_u64(disks->requests.request_len, disks->output.transfer_len);
    disks->transport = (struct transport){
        .operations = &virtio_blk_transport,
        .input_len = disks->input.file_len,
        .is_output_zeroed = disks->output.is_zeroed,
    };
    *ret_transport = &disks->transport;
    return true;
}

static bool disks_read(struct transport *transport, uint64_t off, void *data, uint64_t len, struct error *error)
{
    struct disks *disks = (struct disks *)transport;
    struct disk_range range = {off, data, len};
    return disk_requests_read(&disks->requests, &disks->input, &range, 1, error);
}

static bool disks_write(struct transport *transport, uint64_t off, const void *data, uint64_t len, struct error *error)
{
    struct disks *disks = (struct disks *)transport;
    struct disk_range range = {off, (void *)(uintptr_t)data, len};
    return disk_requests_write(&disks->requests, &disks->output, &range, 1, error);
}

static bool disks_flush(struct transport *transport, struct error *error)
{
    struct disks *disks = (struct disks *)transport;
    return disk_requests_flush(&disks->requests, &disks->output, error);
}

const struct transport_operations virtio_blk_transport = {
    .name = "virtio-blk",
    .id = TRANSPORT_VIRTIO_BLK,
    .open = disks_open,
    .read = disks_read,
    .write = disks_write,
    .flush = disks_flush,
};
