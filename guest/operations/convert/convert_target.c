/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/convert/convert_target.h"

#include <string.h>

#include "base/checked.h"
#include "base/units.h"
#include "guest/operations/convert/convert_compressor.h"
#include "guest/operations/reader/disk_walk.h"
#include "guest/operations/reader/sparse_run.h"

/* Of one copy: large, so that the host can work in large steps; not so large that progress is not seen. */
#define COPY_LEN_MAX (16ull << 20)
/* What qemu-img reads at once. */
#define QEMU_BUFFER_LEN (2u << 20)
/* What is put together when everything is. */
#define GATHER_LEN_MIN 65536u

static uint32_t choose_unit_len(const struct convert_target_setup *setup)
{
    const struct target *target = setup->target;
    uint32_t len = target->unit_len;
    if (setup->compresses) {
        len = target->compress_len;
    } else if (setup->sparse_len == 0 && !target->has_backing) {
        len = SECTOR_LEN; /* every byte is stored */
    }
    return setup->is_shifted ? (uint32_t)max_u64(len, GATHER_LEN_MIN) : len;
}

/*
 * As in qemu-img, zeros are looked for in blocks that lie at multiples of -S's length, or of the next lower power of
 * two.
 */
static uint32_t choose_zero_block_len(uint64_t sparse_len, uint32_t unit_len)
{
    uint32_t block_len = sparse_len == 0 ? ZERO_BLOCK_LEN : SECTOR_LEN;
    while (block_len <= min_u64(sparse_len, COPY_LEN_MAX) / 2) {
        block_len *= 2;
    }
    return (uint32_t)max_u64(block_len, unit_len);
}

bool convert_target_init(struct convert_target *target, const struct convert_target_setup *setup, struct error *error)
{
    uint32_t unit_len = choose_unit_len(setup);
    uint32_t zero_block_len = choose_zero_block_len(setup->sparse_len, unit_len);
    *target = (struct convert_target){
        .target = setup->target,
        .progress = setup->progress,
        .total_len = setup->total_len,
        .sparse_len = setup->sparse_len,
        .zero_block_len = zero_block_len,
        .copy_zero_len = zero_block_len > ZERO_BLOCK_LEN
                             ? 0
                             : (uint32_t)round_up(min_u64(setup->sparse_len, COPY_LEN_MAX), SECTOR_LEN),
        .has_rate_limit = setup->piece_len != 0,
        .piece_len = setup->piece_len != 0 ? round_up(min_u64(setup->piece_len, COPY_LEN_MAX), unit_len) : COPY_LEN_MAX,
        .gathers_all = setup->is_shifted,
    };
    for (uint32_t i = 0; i < CONVERT_WRITES_MAX; i++) {
        target->writes[i].target = target;
        target->writes[i].next_free = target->free;
        target->free = &target->writes[i];
    }
    if (!convert_units_init(&target->units, unit_len, setup->arena)) {
        return error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for the image's clusters");
    }
    if (setup->compresses) {
        return convert_compressor_make(target, setup->vcpu_count, setup->arena, &target->compressor, error);
    }
    return true;
}

uint64_t convert_target_plain_len(const struct convert_target *target, uint64_t len)
{
    bool is_seen_by_nobody =
        target->sparse_len == 0 || (target->target->detects_zeros && target->zero_block_len == ZERO_BLOCK_LEN);
    bool is_copied = target->target->takes_copies && is_seen_by_nobody && target->compressor == NULL &&
                     target->units.unit_len == SECTOR_LEN;
    return is_copied ? len : UINT64_MAX;
}

uint32_t convert_target_zero_unit_bits(const struct convert_target *target)
{
    uint32_t unit_len = (uint32_t)max_u64(target->zero_block_len, ZERO_BLOCK_LEN);
    while (unit_len < target->target->zero_unit_len && target->base_off % (2ull * unit_len) == 0) {
        unit_len *= 2; /* ends: at zero_unit_len */
    }
    bool is_left_to_host = target->target->detects_zeros && target->zero_block_len <= ZERO_BLOCK_LEN;
    bool is_looked_for =
        target->target->takes_copies && !is_left_to_host && target->sparse_len > 0 && target->sparse_len <= unit_len;
    bool is_in_units = target->compressor == NULL && !target->gathers_all && is_power_of_two(unit_len) &&
                       target->base_off % unit_len == 0;
    return is_looked_for && is_in_units ? (uint32_t)__builtin_ctz(unit_len) : 0;
}

void convert_target_give(struct convert_target *target, const struct reader_part *part, uint64_t end_voff)
{
    target->part = *part;
    target->has_part = true;
    target->submitted_len = 0;
    target->run.len = 0;
    if (part->voff + part->len == end_voff && !target->gathers_all) {
        target->part.len = round_up(part->len, SECTOR_LEN); /* in memory, zeros follow */
    }
}

void convert_target_done(struct convert_target *target, uint64_t len, const struct error *error)
{
    if (error != NULL && !error_is_set(&target->error)) {
        target->error = *error;
    }
    progress_add(target->progress, len);
    target->pending--;
}

static void write_done(struct target_write *target_write, const struct error *error)
{
    struct convert_write *write = target_write->owner;
    struct convert_target *target = write->target;
    convert_memory_release(&write->memory);
    convert_target_done(target, write->len, error);
    write->next_free = target->free;
    target->free = write;
}

/* A request that works with `memory`. There is one free. */
static struct convert_write *write_take(struct convert_target *target, const struct convert_memory *memory)
{
    struct convert_write *write = target->free;
    target->free = write->next_free;
    target->pending++;
    write->write = (struct target_write){.done = write_done, .owner = write};
    write->memory = *memory;
    convert_memory_keep(memory);
    return write;
}

/* The request was not accepted. */
static void write_give_back(struct convert_target *target, struct convert_write *write)
{
    convert_memory_release(&write->memory);
    target->pending--;
    write->next_free = target->free;
    target->free = write;
}

/* Writes the start of `len` bytes that lie in `memory`; a request is free. */
static bool write_bytes(struct convert_target *target, const struct convert_memory *memory, const uint8_t *data,
                        uint64_t off, uint64_t len, uint64_t *ret_len, struct error *error)
{
    struct convert_write *write = write_take(target, memory);
    if (!target->target->operations->write(target->target, &write->write, off, data, len, ret_len, error)) {
        write_give_back(target, write);
        return false;
    }
    write->len = *ret_len; /* before `done`, which io_poll and io_wait call */
    target->bytes_written += *ret_len;
    return true;
}

bool convert_target_zero(struct convert_target *target, uint64_t off, uint64_t len, struct error *error)
{
    target->bytes_zero += len;
    progress_add(target->progress, len);
    return target->target->operations->zero(target->target, off, len, error);
}

static struct convert_memory part_memory(const struct convert_target *target)
{
    return (struct convert_memory){.reader = target->reader, .part = target->part};
}

/* Where the target's next byte of the part goes. */
static uint64_t next_off(const struct convert_target *target)
{
    return target->base_off + target->part.voff + target->submitted_len;
}

static uint64_t part_left(const struct convert_target *target)
{
    return target->part.len - target->submitted_len;
}

/* Submits what has been put together; a request is free. */
static bool submit_unit(struct convert_target *target, struct error *error)
{
    struct convert_unit *unit = target->unit;
    struct convert_memory memory = {.units = &target->units, .unit = unit};
    uint64_t len = target->unit_fill_len;
    bool success = true;
    target->unit = NULL;
    if (target->compressor != NULL) {
        memset(unit->data + len, 0, (size_t)(target->units.unit_len - len));
        convert_compressor_add(target->compressor, &memory, unit->data, target->unit_off, len);
    } else if (target->sparse_len > 0 && bytes_are_zero((struct span){unit->data, (size_t)len})) {
        success = convert_target_zero(target, target->unit_off, len, error);
    } else {
        uint64_t done_len = 0;
        while (success && done_len < len) { /* ends: something is written in each round */
            uint64_t written_len = 0;
            success = write_bytes(target, &memory, unit->data + done_len, target->unit_off + done_len, len - done_len,
                                  &written_len, error);
            done_len += written_len;
            while (success && target->free == NULL) { /* ends: requests are done at some time */
                success = io_wait(target->target->io, error);
            }
        }
    }
    convert_memory_release(&memory);
    return success;
}

/* Whether the next bytes of the part have to be put together with others. */
static bool is_gathered(const struct convert_target *target)
{
    uint64_t off = next_off(target);
    uint64_t left = part_left(target);
    uint64_t unit_len = target->units.unit_len;
    if (target->gathers_all || target->unit != NULL || off % unit_len != 0) {
        return true;
    }
    bool is_stored_zero = target->part.kind == READER_ZERO && target->compressor != NULL && target->sparse_len == 0;
    return is_stored_zero || (left < unit_len && (off + left != target->total_len || target->compressor != NULL));
}

/* Adds the next bytes of the part to a unit. */
static bool gather(struct convert_target *target, bool *ret_moved, struct error *error)
{
    if (target->unit == NULL) {
        target->unit = convert_units_take(&target->units);
        target->unit_off = next_off(target);
        target->unit_fill_len = 0;
    }
    bool has_room = target->compressor != NULL ? convert_compressor_has_room(target->compressor) : target->free != NULL;
    if (target->unit == NULL || !has_room) {
        return true;
    }
    uint64_t unit_len = min_u64(target->units.unit_len, target->total_len - target->unit_off);
    uint64_t len = min_u64(part_left(target), unit_len - target->unit_fill_len);
    uint8_t *to = target->unit->data + target->unit_fill_len;
    if (target->part.kind == READER_ZERO) {
        memset(to, 0, (size_t)len);
    } else {
        memcpy(to, target->part.data + target->submitted_len, (size_t)len);
    }
    target->submitted_len += len;
    target->unit_fill_len += len;
    *ret_moved = true;
    return target->unit_fill_len < unit_len || submit_unit(target, error);
}

/* As much of the part as is whole units, or all there is up to the end of the disk. */
static uint64_t whole_units_len(const struct convert_target *target)
{
    uint64_t left = part_left(target);
    bool is_end = next_off(target) + left == target->total_len && target->compressor == NULL;
    return is_end ? left : round_down(left, target->units.unit_len);
}

/*
 * The source's stream of the cluster at `off` of the part, where the target takes it. It is sound, as the reader has
 * expanded it. One that is not shorter than its cluster is no gain.
 */
static bool find_stream(const struct convert_target *target, uint64_t off, struct span *ret_stream)
{
    uint32_t cluster_len = target->target->compress_len;
    return slot_find_stream(target->part.slot, target->part.voff + off, cluster_len, target->target->takes_streams,
                            ret_stream) &&
           ret_stream->len < cluster_len;
}

static bool compress_next(struct convert_target *target, bool *ret_moved)
{
    if (!convert_compressor_has_room(target->compressor)) {
        return true;
    }
    *ret_moved = true;
    if (target->part.kind == READER_ZERO) {
        uint64_t len = whole_units_len(target);
        convert_compressor_add_zeros(target->compressor, next_off(target), len);
        target->submitted_len += len;
        return true;
    }
    struct convert_memory memory = part_memory(target);
    const uint8_t *data = target->part.data + target->submitted_len;
    uint32_t unit_len = target->units.unit_len;
    struct span stream;
    if (find_stream(target, target->submitted_len, &stream)) {
        convert_compressor_add_stream(target->compressor, &memory, data, next_off(target), stream);
    } else {
        convert_compressor_add(target->compressor, &memory, data, next_off(target), unit_len);
    }
    target->submitted_len += target->units.unit_len;
    return true;
}

/* Where qemu-img ends counting zeros: its buffers and the disk do. */
static bool is_run_end(const struct convert_target *target, uint64_t end_off)
{
    return end_off == target->total_len || end_off % QEMU_BUFFER_LEN == 0;
}

static bool copy_next(struct convert_target *target, uint64_t off, struct error *error)
{
    const struct reader_part *part = &target->part;
    struct convert_memory memory = part_memory(target);
    struct convert_write *write = write_take(target, &memory);
    uint64_t len = min_u64(part_left(target), target->piece_len);
    if (!target->target->operations->copy(target->target, &write->write, off, part->file,
                                          part->file_off + target->submitted_len, len, target->copy_zero_len, &len,
                                          error)) {
        write_give_back(target, write);
        return false;
    }
    write->len = len;
    target->bytes_written += len;
    target->submitted_len += len;
    return true;
}

/*
 * How many of the next `len` bytes of the part are to be written before the first cluster that comes as a stream: its
 * own, where that is 0.
 */
static uint64_t len_before_stream(const struct convert_target *target, uint64_t len, struct span *ret_stream)
{
    uint32_t cluster_len = target->target->compress_len;
    uint64_t off = next_off(target);
    if (target->target->takes_streams == STREAM_KIND_OTHER) {
        return len;
    }
    for (uint64_t at = round_up(off, cluster_len) - off; at < len && len - at >= cluster_len; at += cluster_len) {
        if (find_stream(target, target->submitted_len + at, ret_stream)) {
            return at;
        }
    }
    return len;
}

/* The next cluster of the part, as it is compressed. A request is free. */
static bool write_stream(struct convert_target *target, struct span stream, struct error *error)
{
    struct convert_memory memory = part_memory(target);
    struct convert_write *write = write_take(target, &memory);
    uint32_t len = target->target->compress_len;
    write->len = len; /* `done` may be called at once */
    if (!target->target->operations->write_compressed(target->target, &write->write, next_off(target), stream, error)) {
        write_give_back(target, write);
        return false;
    }
    target->bytes_written += len;
    target->submitted_len += len;
    return true;
}

/* Writes the start of the part, or leaves it out. */
static bool write_next(struct convert_target *target, bool *ret_moved, struct error *error)
{
    uint64_t off = next_off(target);
    uint64_t len = whole_units_len(target);
    if (target->part.kind == READER_ZERO) {
        *ret_moved = true;
        target->submitted_len += len;
        return convert_target_zero(target, off, len, error);
    }
    if (target->free == NULL) {
        return true;
    }
    *ret_moved = true;
    if (target->part.kind == READER_PLAIN) {
        return copy_next(target, off, error);
    }
    const uint8_t *data = target->part.data + target->submitted_len;
    if (target->run.len == 0) {
        struct span stream;
        uint64_t bytes_len = len_before_stream(target, len, &stream);
        if (bytes_len == 0) {
            return write_stream(target, stream, error);
        }
        target->run = sparse_run_find((struct span){data, (size_t)bytes_len}, off, target->sparse_len,
                                      target->zero_block_len, is_run_end(target, off + bytes_len));
    }
    uint64_t run_len = target->run.len;
    if (target->run.is_zero) {
        RETURN_IF_FAILED(convert_target_zero(target, off, run_len, error));
    } else {
        struct convert_memory memory = part_memory(target);
        run_len = min_u64(run_len, target->piece_len);
        RETURN_IF_FAILED(write_bytes(target, &memory, data, off, run_len, &run_len, error));
    }
    target->run.len -= run_len;
    target->submitted_len += run_len;
    return true;
}

bool convert_target_submit(struct convert_target *target, bool *ret_moved, struct error *error)
{
    *ret_moved = false;
    if (target->compressor != NULL) {
        RETURN_IF_FAILED(convert_compressor_advance(target->compressor, ret_moved, error));
    }
    if (!target->has_part) {
        return true;
    }
    if (target->part.kind == READER_OTHERS) {
        progress_add(target->progress, part_left(target));
        target->submitted_len = target->part.len;
        *ret_moved = true;
    } else if (is_gathered(target)) {
        RETURN_IF_FAILED(gather(target, ret_moved, error));
    } else if (target->compressor != NULL) {
        RETURN_IF_FAILED(compress_next(target, ret_moved));
    } else {
        RETURN_IF_FAILED(write_next(target, ret_moved, error));
    }
    if (target->submitted_len == target->part.len) {
        reader_release(target->reader, &target->part);
        target->has_part = false;
    }
    return true;
}

bool convert_target_is_idle(const struct convert_target *target)
{
    return !target->has_part && target->pending == 0 &&
           (target->compressor == NULL || convert_compressor_is_empty(target->compressor));
}

bool convert_target_end(struct convert_target *target, struct error *error)
{
    if (target->unit != NULL) {
        uint64_t len = min_u64(target->units.unit_len, target->total_len - target->unit_off);
        memset(target->unit->data + target->unit_fill_len, 0, (size_t)(len - target->unit_fill_len));
        target->unit_fill_len = len;
        RETURN_IF_FAILED(submit_unit(target, error));
    }
    return true;
}
