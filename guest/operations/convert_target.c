/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/convert_target.h"

#include "base/checked.h"
#include "guest/operations/disk_walk.h"

/* Of one copy: large, so that the host can work in large steps; not so large that progress is not seen. */
#define COPY_LEN_MAX (16ull << 20)
/* Of one zeroing, likewise. */
#define ZEROING_LEN_MAX (1ull << 30)

void convert_target_init(struct convert_target *target, const struct convert_target_setup *setup)
{
    uint64_t copy_zero_len = round_up(min_u64(setup->sparse_len, COPY_LEN_MAX), DISK_SECTOR_LEN);
    *target = (struct convert_target){
        .io = setup->io,
        .file = setup->file,
        .reader = setup->reader,
        .progress = setup->progress,
        .sparse_len = setup->sparse_len,
        .piece_len = setup->piece_len != 0 ? min_u64(setup->piece_len, COPY_LEN_MAX) : COPY_LEN_MAX,
        .copy_zero_len = setup->copies_zeros ? 0 : copy_zero_len,
        .reads_as_zero = setup->reads_as_zero,
    };
    for (uint32_t i = 0; i < TARGET_REQUESTS_MAX; i++) {
        target->requests[i].next_free = target->free;
        target->free = &target->requests[i];
    }
}

void convert_target_give(struct convert_target *target, const struct reader_part *part)
{
    target->part = *part;
    target->has_part = true;
    target->submitted_len = 0;
    target->run.len = 0;
}

static void request_done(struct io_request *io_request, const struct error *error)
{
    struct target_request *request = io_request->owner;
    struct convert_target *target = request->target;
    if (error != NULL && !error_is_set(&target->error)) {
        target->error = *error;
    }
    reader_release(target->reader, &request->part);
    progress_add(target->progress, request->len);
    target->pending--;
    request->next_free = target->free;
    target->free = request;
}

/* A request about `len` more bytes of the part. There is one free. */
static struct io_request *take_request(struct convert_target *target, uint64_t len)
{
    struct target_request *request = target->free;
    target->free = request->next_free;
    target->pending++;
    request->request = (struct io_request){.done = request_done, .owner = request};
    request->target = target;
    request->part = target->part;
    request->len = len;
    reader_keep(&request->part);
    return &request->request;
}

/* What the rest of the part begins with. */
static struct zero_run next_run(const struct convert_target *target)
{
    const struct reader_part *part = &target->part;
    uint64_t left = part->len - target->submitted_len;
    if (part->kind == READER_ZERO) {
        return (struct zero_run){.len = left, .is_zero = true};
    }
    if (part->kind == READER_PLAIN) {
        return (struct zero_run){.len = left};
    }
    struct span rest = {part->data + target->submitted_len, (size_t)left};
    return sparse_run_find(rest, target->base_off + part->voff + target->submitted_len, target->sparse_len);
}

/* Submits the start of a run, or leaves it out. Returns its length. */
static uint64_t submit_run(struct convert_target *target)
{
    const struct reader_part *part = &target->part;
    uint64_t off = target->base_off + part->voff + target->submitted_len;
    uint64_t len = target->run.len;
    struct file *file = target->file;
    if (target->run.is_zero) {
        target->bytes_zero += len;
        if (target->reads_as_zero && target->sparse_len > 0) {
            progress_add(target->progress, len);
            return len;
        }
        len = min_u64(len, ZEROING_LEN_MAX);
        io_write_zeroes(target->io, take_request(target, len), file, off, len, target->sparse_len > 0);
        return len;
    }
    len = min_u64(len, target->piece_len);
    if (part->kind == READER_PLAIN) {
        io_copy(target->io, take_request(target, len), part->file, part->file_off + target->submitted_len, file, off,
                len, (uint32_t)target->copy_zero_len);
    } else {
        /* To the sector's end, as the reader filled it, or to the file's: what exists may end within a sector. */
        uint64_t write_len = min_u64(round_up(len, DISK_SECTOR_LEN), file->len - off);
        io_write(target->io, take_request(target, len), file, off, part->data + target->submitted_len, write_len);
    }
    target->bytes_written += len;
    return len;
}

bool convert_target_submit(struct convert_target *target)
{
    if (!target->has_part || target->free == NULL) {
        return false;
    }
    if (target->submitted_len < target->part.len) {
        if (target->run.len == 0) {
            target->run = next_run(target);
        }
        uint64_t len = submit_run(target);
        target->submitted_len += len;
        target->run.len -= len;
    }
    if (target->submitted_len == target->part.len) {
        reader_release(target->reader, &target->part);
        target->has_part = false;
    }
    return true;
}

static bool wait_for_all(struct convert_target *target, struct error *error)
{
    while (target->pending > 0) { /* ends: requests are done at some time, and no others come */
        RETURN_IF_FAILED(io_wait(target->io, error));
    }
    if (error_is_set(&target->error)) {
        *error = target->error;
        return false;
    }
    return true;
}

bool convert_target_set_len(struct convert_target *target, uint64_t len, struct error *error)
{
    io_set_len(target->io, take_request(target, 0), target->file, len);
    return wait_for_all(target, error);
}

bool convert_target_flush(struct convert_target *target, struct error *error)
{
    io_flush(target->io, take_request(target, 0), target->file);
    return wait_for_all(target, error);
}

bool convert_target_allocate(struct convert_target *target, struct error *error)
{
    uint64_t len;
    for (uint64_t off = 0; off < target->file->len; off += len) {
        len = min_u64(target->file->len - off, ZEROING_LEN_MAX);
        io_write_zeroes(target->io, take_request(target, 0), target->file, off, len, false);
        RETURN_IF_FAILED(wait_for_all(target, error));
    }
    return true;
}
