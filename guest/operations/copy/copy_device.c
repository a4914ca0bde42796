/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/copy/copy_device.h"

#include <stddef.h>

#include "base/checked.h"
#include "guest/operations/copy/copy_plan.h"
#include "guest/operations/copy/extent_stream.h"
#include "guest/operations/job/progress.h"
#include "guest/operations/job/progress_report.h"

/* Of one transfer: large requests are what makes a copy fast; from 1 MiB on they do not get any faster. */
#define BUFFER_LEN_MIN (1ull << 20)
/* Sectors are not larger, so neither are buffers. */
#define BUFFER_LEN_MAX (16ull << 20)
#define TRANSFER_COUNT_DEFAULT 16u

struct copy {
    struct virtio_blk *input;
    struct virtio_blk *output;
    struct copy_plan plan;
    struct extent_stream extents;
    struct progress progress;
    struct transfers transfers;
};

static bool check_options(const struct copy_options *options, struct error *error)
{
    const struct virtio_blk *input = options->input;
    const struct virtio_blk *output = options->output;
    uint64_t sector_len = max_u64(options->input_sector_len, options->output_sector_len);
    if (sector_len > BUFFER_LEN_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "sectors of %llu bytes are too large",
                         (unsigned long long)sector_len);
    }
    if (options->request_len % VIRTIO_BLK_SECTOR_LEN != 0) {
        return error_set(error, ERROR_USAGE, NULL, "requests of %u bytes are not whole sectors of 512 bytes",
                         options->request_len);
    }
    if (output->is_read_only) {
        return error_set(error, ERROR_USAGE, output->mmio.name, "output is read-only");
    }
    if (output->file_len < input->file_len) {
        return error_set(error, ERROR_USAGE, output->mmio.name,
                         "output is smaller than the input: %llu bytes, needed are %llu",
                         (unsigned long long)output->file_len, (unsigned long long)input->file_len);
    }
    return true;
}

static bool copy_init(struct copy *copy, const struct copy_options *options, struct error *error)
{
    RETURN_IF_FAILED(check_options(options, error));
    struct virtio_blk *input = options->input;
    uint64_t sector_len = max_u64(options->input_sector_len, options->output_sector_len);
    uint64_t buffer_len = max_u64(sector_len, BUFFER_LEN_MIN);
    copy->input = input;
    copy->output = options->output;
    copy_plan_init(&copy->plan, input->file_len, options->input_sector_len);
    progress_init(&copy->progress, input->file_len, options->input_sector_len, options->progress_percent);
    if (!extent_stream_init(&copy->extents, input, COPY_QUEUE, options->arena)) {
        return error_set(error, ERROR_HOST, NULL, "the machine has no memory for lists of data and holes");
    }
    struct transfers_setup setup = {
        .input = input,
        .output = options->output,
        .buffer_len = buffer_len,
        .request_len = options->request_len != 0 ? options->request_len : buffer_len,
        .count = options->transfer_count != 0 ? options->transfer_count : TRANSFER_COUNT_DEFAULT,
        .progress = &copy->progress,
        .arena = options->arena,
    };
    return transfers_init(&copy->transfers, &setup, error);
}

/* Starts as many transfers as are free, as far as the input's extents are known. */
static bool start_transfers(struct copy *copy, struct error *error)
{
    struct transfers *transfers = &copy->transfers;
    while (transfers->free != NULL) {
        struct copy_piece piece;
        if (copy_plan_next(&copy->plan, transfers->buffer_len, transfers->hole_len, &piece)) {
            transfers_start(transfers, &piece);
            continue;
        }
        struct virtio_blk_extent extent;
        bool found = false;
        if (copy_plan_wants_extent(&copy->plan)) {
            RETURN_IF_FAILED(extent_stream_next(&copy->extents, &extent, &found, error));
        }
        if (!found) {
            break;
        }
        enum copy_kind kind = extent.kind == VIRTIO_BLK_EXTENT_HOLE ? COPY_HOLE : COPY_DATA;
        copy_plan_add_extent(&copy->plan, kind, extent.off + extent.len);
    }
    return true;
}

/* Takes back what a device is done with. Sets *ret_any if there was something. */
static bool reap(struct copy *copy, struct transfer_side *side, bool *ret_any, struct error *error)
{
    for (;;) {
        struct virtio_blk_request *request;
        RETURN_IF_FAILED(virtio_blk_reap(side->blk, COPY_QUEUE, &request, error));
        if (request == NULL) {
            return true;
        }
        *ret_any = true;
        if (request == copy->extents.request) {
            extent_stream_answered(&copy->extents);
        } else {
            RETURN_IF_FAILED(transfers_complete(&copy->transfers, side, request, error));
        }
    }
}

static bool in_flight(const struct copy *copy)
{
    return virtqueue_in_flight(&copy->input->queues[COPY_QUEUE]) > 0 ||
           virtqueue_in_flight(&copy->output->queues[COPY_QUEUE]) > 0;
}

/*
 * Rounds of starting, submitting and reaping. Ends: every round submits or reaps something, or waits for a
 * device; what it reaps moves a transfer on, and the plan has an end.
 */
static bool copy_loop(struct copy *copy, struct error *error)
{
    struct virtio_blk *const blks[] = {copy->input, copy->output};
    for (;;) {
        bool reaped = false;
        RETURN_IF_FAILED(reap(copy, &copy->transfers.input, &reaped, error));
        RETURN_IF_FAILED(reap(copy, &copy->transfers.output, &reaped, error));
        RETURN_IF_FAILED(start_transfers(copy, error));
        if (!copy_plan_is_finished(&copy->plan)) {
            extent_stream_ask(&copy->extents);
        }
        transfers_issue(&copy->transfers);
        virtio_blk_kick(copy->input, COPY_QUEUE);
        virtio_blk_kick(copy->output, COPY_QUEUE);
        bool more_reports = progress_report(&copy->progress);
        if (!more_reports && copy_plan_is_finished(&copy->plan) && copy->transfers.busy_count == 0) {
            return true;
        }
        if (!reaped && !more_reports && in_flight(copy)) {
            RETURN_IF_FAILED(virtio_blk_wait_any(blks, ARRAY_COUNT(blks), error));
        }
    }
}

bool copy_run(const struct copy_options *options, struct copy_result *ret_result, struct error *error)
{
    static struct copy copy;
    RETURN_IF_FAILED(copy_init(&copy, options, error));
    RETURN_IF_FAILED(copy_loop(&copy, error));
    struct transfer_side *output = &copy.transfers.output;
    /* A device without FLUSH has no cache that could be lost (5.2.6.2). */
    if (options->sync && (output->blk->mmio.features & VIRTIO_BLK_F_FLUSH) != 0) {
        struct virtio_blk_request *request = output->unused[0];
        virtio_blk_flush(output->blk, COPY_QUEUE, request);
        RETURN_IF_FAILED(virtio_blk_execute(output->blk, COPY_QUEUE, request, error));
    }
    *ret_result = copy.transfers.result;
    return true;
}
