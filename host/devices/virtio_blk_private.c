/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/virtio_blk_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>

#include "base/checked.h"
#include "host/backends/backend_copy.h"
#include "host/backends/file_ranges.h"
#include "host/backends/find_zeros.h"
#include "host/devices/virtio_blk_operation.h"

/* Extents in one answer: 12 KiB, about what a guest gives us room for. */
#define EXTENT_MAX 512u

/*
 * The extent at `off`, a multiple of the sector length, with its end at one, too, or at the end of the file: some
 * file systems report any byte. What is less than a sector of hole is data.
 */
static int sector_extent(struct virtio_blk *blk, uint64_t off, struct virtio_blk_extent *ret_extent)
{
    struct backend_extent extent;
    int result = backend_extent(blk->backend, off, &extent);
    if (result != 0) {
        return result;
    }
    uint64_t end = extent.off + extent.len;
    bool is_hole = extent.kind == BACKEND_EXTENT_HOLE;
    if (end < blk->backend->len && is_hole) {
        end = round_down(end, VIRTIO_BLK_SECTOR_LEN);
        is_hole = end > off;
    }
    if (end < blk->backend->len && !is_hole) {
        end = min_u64(round_up(max_u64(end, off + 1), VIRTIO_BLK_SECTOR_LEN), blk->backend->len);
    }
    *ret_extent = (struct virtio_blk_extent){
        .off = off,
        .len = end - off,
        .kind = is_hole ? VIRTIO_BLK_EXTENT_HOLE : VIRTIO_BLK_EXTENT_DATA,
    };
    return 0;
}

static void extents_answer(struct virtio_blk *blk, unsigned int queue, const struct virtio_blk_request *request)
{
    struct {
        struct virtio_blk_extents_head head;
        struct virtio_blk_extent extents[EXTENT_MAX];
    } answer;
    answer.head = (struct virtio_blk_extents_head){0};
    if (!request->data_is_writable || request->data_len < sizeof(answer.head) + sizeof(answer.extents[0]) ||
        request->sector > blk->capacity_sectors) {
        virtio_blk_request_answer(blk, queue, request, VIRTIO_BLK_S_IOERR, 0);
        return;
    }
    uint64_t room = min_u64((request->data_len - sizeof(answer.head)) / sizeof(answer.extents[0]), EXTENT_MAX);
    uint64_t off = request->sector * VIRTIO_BLK_SECTOR_LEN;
    while (off < blk->backend->len && answer.head.count < room) {
        struct virtio_blk_extent *extent = &answer.extents[answer.head.count++];
        if (sector_extent(blk, off, extent) != 0) {
            virtio_blk_request_answer(blk, queue, request, VIRTIO_BLK_S_IOERR, 0);
            return;
        }
        off += extent->len;
    }
    size_t answer_len = sizeof(answer.head) + answer.head.count * sizeof(answer.extents[0]);
    virtio_blk_request_fill(request, 0, &answer, answer_len);
    virtio_blk_request_answer(blk, queue, request, VIRTIO_BLK_S_OK, (uint32_t)answer_len);
}

static bool machine_has_ended(void *context)
{
    const struct virtio_blk *blk = context;
    return blk->transport.machine->has_ended;
}

/* Whether FIND_ZEROS makes sense; sets the range that it is about. */
static bool zeros_range(const struct virtio_blk *blk, const struct virtio_blk_request *request, uint64_t *ret_off,
                        uint64_t *ret_unit_len, unsigned int *ret_unit_count)
{
    unsigned int unit_bits = VIRTIO_BLK_ZEROS_UNIT_BITS(request->argument);
    unsigned int unit_count = VIRTIO_BLK_ZEROS_UNIT_COUNT(request->argument);
    if (unit_bits < VIRTIO_BLK_ZEROS_UNIT_BITS_MIN || unit_bits > VIRTIO_BLK_ZEROS_UNIT_BITS_MAX || unit_count == 0 ||
        unit_count > VIRTIO_BLK_ZEROS_UNIT_COUNT_MAX || !request->data_is_writable ||
        request->data_len < (unit_count + 7) / 8 || request->sector > blk->capacity_sectors) {
        return false;
    }
    *ret_off = request->sector * VIRTIO_BLK_SECTOR_LEN;
    *ret_unit_len = 1ull << unit_bits;
    *ret_unit_count = unit_count;
    uint64_t len = unit_count * *ret_unit_len;
    return len <= VIRTIO_BLK_ZEROS_LEN_MAX && range_is_within(*ret_off, len, blk->backend->len);
}

static void zeros_answer(struct virtio_blk *blk, unsigned int queue, const struct virtio_blk_request *request)
{
    uint8_t bitmap[VIRTIO_BLK_ZEROS_UNIT_COUNT_MAX / 8];
    uint64_t off = 0;
    uint64_t unit_len = 0;
    unsigned int unit_count = 0;
    if (!blk->finds_zeros) {
        virtio_blk_request_answer(blk, queue, request, VIRTIO_BLK_S_UNSUPP, 0);
    } else if (!zeros_range(blk, request, &off, &unit_len, &unit_count) ||
               !backend_find_zeros(blk->backend, off, unit_len, unit_count, bitmap, machine_has_ended, blk)) {
        virtio_blk_request_answer(blk, queue, request, VIRTIO_BLK_S_IOERR, 0);
    } else {
        uint32_t bitmap_len = (unit_count + 7) / 8;
        virtio_blk_request_fill(request, 0, bitmap, bitmap_len);
        virtio_blk_request_answer(blk, queue, request, VIRTIO_BLK_S_OK, bitmap_len);
    }
}

/* What a driver reads again after its request. */
static void config_update(struct virtio_blk *blk)
{
    virtio_mmio_config_begin(&blk->transport);
    virtio_mmio_config_change(&blk->transport, offsetof(struct virtio_blk_config, capacity), blk->capacity_sectors);
    virtio_mmio_config_change(&blk->transport,
                              VIRTIO_BLK_INSTAR_CONFIG_OFF + offsetof(struct virtio_blk_instar_config, file_len),
                              blk->backend->len);
    virtio_mmio_config_end(&blk->transport);
}

static uint8_t set_len(struct virtio_blk *blk, const struct virtio_blk_request *request)
{
    struct virtio_blk_set_len wanted;
    if (!blk->is_resizable) {
        return VIRTIO_BLK_S_UNSUPP;
    }
    if (!virtio_blk_request_data(request, &wanted, sizeof(wanted))) {
        return VIRTIO_BLK_S_IOERR;
    }
    uint64_t room_len = 0;
    virtio_blk_operations_reap(blk, true);
    /* Without holes, what a file becomes longer by is stored. */
    bool stores_zeros = blk->zeros_are_written && wanted.len > blk->backend->len;
    if (stores_zeros && !virtio_blk_room_take(blk, blk->backend->len, wanted.len - blk->backend->len, &room_len)) {
        return VIRTIO_BLK_S_IOERR;
    }
    bool loses_content = blk->backend->has_old_content;
    int result = backend_set_len(blk->backend, wanted.len);
    write_room_stored(&blk->room, room_len);
    if (result != 0) {
        virtio_blk_failure_note(blk, blk->index, result, "set the length to", wanted.len);
        return VIRTIO_BLK_S_IOERR;
    }
    if (loses_content) {
        blk->zeros_are_written = file_has_no_holes(blk->backend->fd, wanted.len);
    }
    blk->capacity_sectors = virtio_blk_sectors(wanted.len);
    blk->unwritten_off = blk->unwritten_off != UINT64_MAX ? min_u64(blk->unwritten_off, wanted.len) : UINT64_MAX;
    config_update(blk);
    return VIRTIO_BLK_S_OK;
}

static bool ranges_overlap(uint64_t a_off, uint64_t b_off, uint64_t len)
{
    return a_off < b_off ? b_off - a_off < len : a_off - b_off < len;
}

/* The source, when the request makes sense; NULL otherwise. */
static const struct backend *copy_source(const struct virtio_blk *blk, const struct virtio_blk_copy *wanted)
{
    if (wanted->source_device >= LAYOUT_DEVICE_MAX || wanted->len == 0 || wanted->len > VIRTIO_BLK_COPY_LEN_MAX) {
        return NULL;
    }
    bool detects = (wanted->flags & VIRTIO_BLK_COPY_DETECT_ZEROS) != 0;
    if ((wanted->flags & ~VIRTIO_BLK_COPY_DETECT_ZEROS) != 0 || (wanted->zero_len != 0) != detects ||
        wanted->zero_len % VIRTIO_BLK_SECTOR_LEN != 0) {
        return NULL;
    }
    const struct backend *source =
        atomic_load_explicit(&blk->peers->backends[wanted->source_device], memory_order_acquire);
    if (source == NULL || !range_is_within(wanted->source_off, wanted->len, backend_len(source)) ||
        !range_is_within(wanted->target_off, wanted->len, blk->backend->len) ||
        (source == blk->backend && ranges_overlap(wanted->source_off, wanted->target_off, wanted->len))) {
        return NULL;
    }
    return source;
}

/* For what a copy stores: any thread of its. */
struct copy_room {
    struct backend_copy_room room;
    struct virtio_blk *blk;
};

static void copy_account(struct virtio_blk *blk, const struct virtio_blk_copy *wanted, const struct backend_copy *copy)
{
    blk->statistics.bytes_copied += copy->written_len;
    blk->statistics.bytes_shared += copy->shared_len;
    blk->statistics.bytes_zero += copy->zeros_len;
    virtio_blk_written_note(blk, wanted->target_off, wanted->len);
}

/* `is_limited`: less was taken of the job's limit than the copy may store. */
static void copy_fail(struct virtio_blk *blk, const struct virtio_blk_copy *wanted, const struct backend_copy *copy,
                      bool is_limited, int result)
{
    struct error limit = {0};
    if (result == EDQUOT && copy->is_over_limit && is_limited) {
        write_room_refuse(&blk->room, WRITE_OVER_LIMIT, &limit);
        virtio_mmio_break(&blk->transport, &limit);
    } else if (result == ENOSPC && copy->has_no_room) {
        virtio_blk_no_room_note(blk);
    } else if (result != ECANCELED) {
        unsigned int device = copy->failed_at_source ? wanted->source_device : blk->index;
        virtio_blk_failure_note(blk, device, result, copy->failed_at_source ? "read at offset" : "write at offset",
                                copy->failed_off);
    }
}

static bool copy_room_take(struct backend_copy_room *room, uint64_t off, uint64_t len, uint64_t *ret_room_len)
{
    return write_room_take_storage(&((struct copy_room *)room)->blk->room, off, len, ret_room_len);
}

static void copy_room_stored(struct backend_copy_room *room, uint64_t room_len)
{
    write_room_stored(&((struct copy_room *)room)->blk->room, room_len);
}

static uint8_t copy(struct virtio_blk *blk, const struct virtio_blk_request *request)
{
    struct virtio_blk_copy wanted;
    if (!blk->is_copy_target) {
        return VIRTIO_BLK_S_UNSUPP;
    }
    const struct backend *source =
        virtio_blk_request_data(request, &wanted, sizeof(wanted)) ? copy_source(blk, &wanted) : NULL;
    if (source == NULL) {
        return VIRTIO_BLK_S_IOERR;
    }
    struct write_budget *budget = blk->room.budget;
    struct copy_room room = {.room = {.take = copy_room_take, .stored = copy_room_stored}, .blk = blk};
    uint64_t taken_len = budget != NULL ? write_budget_take_some(budget, wanted.len) : wanted.len;
    struct backend_copy copy = {
        .source = source,
        .source_off = wanted.source_off,
        .target_off = wanted.target_off,
        .len = wanted.len,
        .zero_len = wanted.zero_len,
        .unwritten_off = blk->unwritten_off,
        .store_max_len = taken_len,
        .zeros_are_written = blk->zeros_are_written,
        .room = &room.room,
        .is_cancelled = machine_has_ended,
        .context = blk,
        .helper = blk->copy_helper,
    };
    int result = backend_copy(blk->backend, &copy);
    if (budget != NULL) {
        /* Two threads that copied together may have been stopped by each other: what they stored counts. */
        write_budget_give_back(budget, taken_len - min_u64(taken_len, backend_copy_stored_len(&copy)));
    }
    copy_account(blk, &wanted, &copy);
    if (result != 0) {
        copy_fail(blk, &wanted, &copy, taken_len < wanted.len, result);
    }
    return result == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

bool virtio_blk_private_execute(struct virtio_blk *blk, unsigned int queue, const struct virtio_blk_request *request)
{
    if ((blk->transport.negotiated & VIRTIO_BLK_F_INSTAR) == 0) {
        return false;
    }
    switch (request->type) {
    case VIRTIO_BLK_T_INSTAR_EXTENTS:
        blk->statistics.extents++;
        extents_answer(blk, queue, request);
        return true;
    case VIRTIO_BLK_T_INSTAR_FIND_ZEROS:
        blk->statistics.extents++;
        zeros_answer(blk, queue, request);
        return true;
    case VIRTIO_BLK_T_INSTAR_SET_LEN:
        blk->statistics.set_lens++;
        virtio_blk_request_answer(blk, queue, request, set_len(blk, request), 0);
        return true;
    case VIRTIO_BLK_T_INSTAR_COPY:
        blk->statistics.copies++;
        virtio_blk_request_answer(blk, queue, request, copy(blk, request), 0);
        return true;
    default:
        return false;
    }
}
