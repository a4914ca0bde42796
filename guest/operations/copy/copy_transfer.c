/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/copy/copy_transfer.h"

#include <stddef.h>
#include <string.h>

#include "abi/layout.h"
#include "base/checked.h"
#include "guest/operations/reader/zero_scan.h"

/* One reads while another one writes. */
#define COUNT_MIN 2u
/* A hole of the output is zeroed in steps of this size, so that progress is seen. */
#define HOLE_LEN_MAX (1ull << 30)

static void line_push(struct transfer_line *line, struct transfer *transfer)
{
    transfer->next = NULL;
    if (line->first == NULL) {
        line->first = transfer;
    } else {
        line->last->next = transfer;
    }
    line->last = transfer;
}

static void line_pop(struct transfer_line *line)
{
    line->first = line->first->next;
}

static bool side_init(struct transfer_side *side, struct virtio_blk *blk, uint64_t request_len, struct arena *arena)
{
    uint32_t count = blk->queues[COPY_QUEUE].size;
    struct virtio_blk_request *requests =
        arena_allocate(arena, count * sizeof(*requests), _Alignof(struct virtio_blk_request));
    *side = (struct transfer_side){
        .blk = blk,
        .request_len = min_u64(request_len, blk->transfer_len),
        .unused = arena_allocate(arena, count * sizeof(*side->unused), sizeof(*side->unused)),
        .unused_count = count,
    };
    if (requests == NULL || side->unused == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        side->unused[i] = &requests[i];
    }
    return true;
}

/* As many transfers as are wanted and fit, with their buffers. */
static bool buffers_init(struct transfers *transfers, uint64_t wanted, struct arena *arena)
{
    uint64_t len = transfers->buffer_len;
    uint64_t align = len >= LAYOUT_HUGE_PAGE_LEN ? LAYOUT_HUGE_PAGE_LEN : LAYOUT_PAGE_LEN;
    wanted = min_u64(max_u64(wanted, COUNT_MIN), arena_left(arena, align) / len);
    struct transfer *all = arena_allocate(arena, wanted * sizeof(*all), _Alignof(struct transfer));
    uint64_t count = min_u64(wanted, arena_left(arena, align) / len);
    if (all == NULL || count < COUNT_MIN) {
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        all[i].data = arena_allocate(arena, len, align);
        all[i].next = transfers->free;
        transfers->free = &all[i];
    }
    return true;
}

bool transfers_init(struct transfers *transfers, const struct transfers_setup *setup, struct error *error)
{
    const struct virtio_blk *output = setup->output;
    uint64_t zeroing_len = min_u64(output->zeroing_len, HOLE_LEN_MAX);
    *transfers = (struct transfers){
        .input_len = setup->input->file_len,
        .buffer_len = setup->buffer_len,
        .hole_len = zeroing_len > 0 ? zeroing_len : setup->buffer_len,
        .zeroing_len = zeroing_len,
        .skips_zeros = output->is_zeroed,
        .progress = setup->progress,
    };
    if (!side_init(&transfers->input, setup->input, setup->request_len, setup->arena) ||
        !side_init(&transfers->output, setup->output, setup->request_len, setup->arena) ||
        !buffers_init(transfers, setup->count, setup->arena)) {
        return error_set(error, ERROR_HOST, NULL, "the machine has no memory for %u buffers of %llu bytes", COUNT_MIN,
                         (unsigned long long)setup->buffer_len);
    }
    return true;
}

/* How much of a range of whole sectors is the input's. */
static uint64_t exact_len(const struct transfers *transfers, uint64_t off, uint64_t len)
{
    return off < transfers->input_len ? min_u64(len, transfers->input_len - off) : 0;
}

void transfers_start(struct transfers *transfers, const struct copy_piece *piece)
{
    if (piece->kind == COPY_HOLE && transfers->skips_zeros) {
        uint64_t len = exact_len(transfers, piece->off, piece->len);
        transfers->result.bytes_zero += len;
        progress_add(transfers->progress, len);
        return;
    }
    struct transfer *transfer = transfers->free;
    transfers->free = transfer->next;
    transfers->busy_count++;
    transfer->off = piece->off;
    transfer->len = piece->len;
    transfer->submitted_len = 0;
    transfer->run_end = 0;
    transfer->is_writing = piece->kind == COPY_HOLE;
    if (piece->kind == COPY_DATA) {
        line_push(&transfers->input.line, transfer);
        return;
    }
    /* All of it is one run, of zeros; or of data that happens to be zero, if the device knows nothing else. */
    transfer->run_end = piece->len;
    transfer->run_is_zero = transfers->zeroing_len > 0;
    if (!transfer->run_is_zero) {
        memset(transfer->data, 0, (size_t)piece->len);
    }
    line_push(&transfers->output.line, transfer);
}

static void finish(struct transfers *transfers, struct transfer *transfer)
{
    progress_add(transfers->progress, exact_len(transfers, transfer->off, transfer->len));
    transfer->next = transfers->free;
    transfers->free = transfer;
    transfers->busy_count--;
}

static struct virtio_blk_request *request_take(struct transfer_side *side, struct transfer *transfer)
{
    struct virtio_blk_request *request = side->unused[--side->unused_count];
    request->owner = transfer;
    transfer->in_flight++;
    return request;
}

static bool can_submit(const struct transfer_side *side)
{
    return side->line.first != NULL && side->unused_count > 0 && virtio_blk_room(side->blk, COPY_QUEUE) > 0;
}

static void issue_reads(struct transfers *transfers)
{
    struct transfer_side *side = &transfers->input;
    while (can_submit(side)) {
        struct transfer *transfer = side->line.first;
        uint64_t off = transfer->off + transfer->submitted_len;
        uint64_t len = min_u64(transfer->len - transfer->submitted_len, side->request_len);
        virtio_blk_read(side->blk, COPY_QUEUE, request_take(side, transfer), off,
                        transfer->data + transfer->submitted_len, len);
        transfers->result.bytes_read += exact_len(transfers, off, len);
        transfer->submitted_len += len;
        if (transfer->submitted_len == transfer->len) {
            line_pop(&side->line);
        }
    }
}

/* Finds what has to be written next: sets run_end beyond submitted_len. False when there is nothing left. */
static bool find_run(struct transfers *transfers, struct transfer *transfer)
{
    while (transfer->submitted_len == transfer->run_end) {
        uint64_t left = transfer->len - transfer->run_end;
        if (left == 0) {
            return false;
        }
        struct zero_run run = {.len = left};
        uint64_t off = transfer->off + transfer->run_end;
        if (transfers->skips_zeros || transfers->zeroing_len > 0) {
            run = zero_run_find((struct span){transfer->data + transfer->run_end, (size_t)left}, off);
        }
        transfer->run_is_zero = run.is_zero;
        transfer->run_end += run.len;
        if (run.is_zero && transfers->skips_zeros) {
            transfers->result.bytes_zero += exact_len(transfers, off, run.len);
            transfer->submitted_len = transfer->run_end;
        }
    }
    return true;
}

static void issue_write(struct transfers *transfers, struct transfer *transfer)
{
    struct transfer_side *side = &transfers->output;
    struct virtio_blk_request *request = request_take(side, transfer);
    uint64_t off = transfer->off + transfer->submitted_len;
    uint64_t len = transfer->run_end - transfer->submitted_len;
    if (transfer->run_is_zero) {
        len = min_u64(len, transfers->zeroing_len);
        virtio_blk_write_zeroes(side->blk, COPY_QUEUE, request, off, len, true);
        transfers->result.bytes_zero += exact_len(transfers, off, len);
    } else {
        len = min_u64(len, side->request_len);
        virtio_blk_write(side->blk, COPY_QUEUE, request, off, transfer->data + transfer->submitted_len, len);
        transfers->result.bytes_written += exact_len(transfers, off, len);
    }
    transfer->submitted_len += len;
}

static void issue_writes(struct transfers *transfers)
{
    struct transfer_side *side = &transfers->output;
    while (can_submit(side)) {
        struct transfer *transfer = side->line.first;
        if (find_run(transfers, transfer)) {
            issue_write(transfers, transfer);
        }
        if (find_run(transfers, transfer)) {
            continue;
        }
        line_pop(&side->line);
        if (transfer->in_flight == 0) {
            finish(transfers, transfer);
        }
    }
}

void transfers_issue(struct transfers *transfers)
{
    issue_reads(transfers);
    issue_writes(transfers);
}

bool transfers_complete(struct transfers *transfers, struct transfer_side *side, struct virtio_blk_request *request,
                        struct error *error)
{
    struct transfer *transfer = request->owner;
    RETURN_IF_FAILED(virtio_blk_check(side->blk, request, error));
    side->unused[side->unused_count++] = request;
    transfer->in_flight--;
    if (transfer->in_flight > 0 || transfer->submitted_len < transfer->len) {
        return true;
    }
    if (transfer->is_writing) {
        finish(transfers, transfer);
    } else {
        transfer->is_writing = true;
        transfer->submitted_len = 0;
        transfer->run_end = 0;
        line_push(&transfers->output.line, transfer);
    }
    return true;
}
