/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h on a device: one request at a time. io.h has requests in the same queue; what is found to be finished of them
 * is kept for it.
 */
#include "guest/image/file.h"

#include <string.h>

#include "base/checked.h"
#include "base/span.h"
#include "guest/image/device_files.h"

/* A device's answer: a head and as many extents as fit. */
#define EXTENT_ANSWER_LEN 16384u
#define EXTENT_BATCH_MAX \
    ((EXTENT_ANSWER_LEN - sizeof(struct virtio_blk_extents_head)) / sizeof(struct virtio_blk_extent))

struct extent_batch {
    uint8_t answer[EXTENT_ANSWER_LEN];                  /* the device's to write */
    struct virtio_blk_extent extents[EXTENT_BATCH_MAX]; /* a checked copy, without gaps */
    uint32_t count;
    uint32_t current; /* what was asked for last */
};

bool device_file_execute(struct device_file *device_file, struct error *error)
{
    struct virtio_blk *blk = &device_file->blk;
    struct virtio_blk_request *request = &device_file->own->blk;
    virtio_blk_kick(blk, DEVICE_FILE_QUEUE);
    while (!request->is_done) { /* ends: the host ends a job whose device does not answer */
        struct virtio_blk_request *reaped;
        RETURN_IF_FAILED(virtio_blk_wait_any(&blk, 1, error));
        RETURN_IF_FAILED(virtio_blk_reap(blk, DEVICE_FILE_QUEUE, &reaped, error));
        if (reaped != NULL && reaped != request) {
            struct device_request *stray = reaped->owner;
            stray->next = device_file->strays;
            device_file->strays = stray;
        }
    }
    return virtio_blk_check(blk, request, error);
}

/* Whole sectors into memory that the device reaches. */
static bool read_sectors(struct device_file *device_file, uint64_t off, void *data, uint64_t len, struct error *error)
{
    virtio_blk_read(&device_file->blk, DEVICE_FILE_QUEUE, &device_file->own->blk, off, data, len);
    return device_file_execute(device_file, error);
}

static bool device_reaches(const struct device_files *files, const void *memory, uint64_t len)
{
    uint64_t gpa = (uint64_t)(uintptr_t)memory;
    return gpa >= files->boot->arena_gpa && range_is_within(gpa - files->boot->arena_gpa, len, files->boot->arena_len);
}

bool file_read(struct file *file, uint64_t off, void *target, size_t len, struct error *error)
{
    if (file->source != NULL) {
        return file->source->read(file, off, target, len, error);
    }
    struct device_file *device_file = device_file_of(file);
    struct device_files *files = device_file->owner;
    uint64_t len_max = device_file->blk.transfer_len;
    uint64_t left_len = off < file->len ? min_u64(len, file->len - off) : 0; /* of the file */
    uint8_t *next = target;
    uint64_t room_len = len;
    bool is_direct = device_reaches(files, target, len);
    off += file->start_off; /* of the device from here on */
    while (left_len > 0) {  /* ends: each round reads a byte at least */
        uint32_t head_len = (uint32_t)(off % VIRTIO_BLK_SECTOR_LEN);
        uint64_t sectors_len = round_up(head_len + left_len, VIRTIO_BLK_SECTOR_LEN);
        uint64_t direct_len = min_u64(min_u64(sectors_len, round_down(room_len, VIRTIO_BLK_SECTOR_LEN)), len_max);
        uint64_t part_len;
        if (is_direct && head_len == 0 && direct_len > 0) {
            RETURN_IF_FAILED(read_sectors(device_file, off, next, direct_len, error));
            part_len = min_u64(direct_len, left_len);
        } else {
            uint64_t bounce_len = min_u64(min_u64(sectors_len, DEVICE_FILE_BOUNCE_LEN), len_max);
            RETURN_IF_FAILED(read_sectors(device_file, off - head_len, files->bounce, bounce_len, error));
            part_len = min_u64(bounce_len - head_len, left_len);
            memcpy(next, files->bounce + head_len, part_len);
        }
        next += part_len;
        off += part_len;
        left_len -= part_len;
        room_len -= part_len;
    }
    memset(next, 0, room_len);
    return true;
}

static bool extents_malformed(const struct file *file, uint64_t off, const char *what, struct error *error)
{
    return error_set(error, ERROR_HOST, file->name, "the device's list of data and holes at 0x%llx %s",
                     (unsigned long long)off, what);
}

/* Gapless from `off`, each extent of a known kind and not empty. */
static bool extents_check(const struct file *file, const struct extent_batch *batch, uint64_t off, struct error *error)
{
    uint64_t end_off = off;
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct virtio_blk_extent *extent = &batch->extents[i];
        if (extent->off != end_off || extent->len == 0 || !checked_add(end_off, extent->len, &end_off)) {
            return extents_malformed(file, off, "has gaps", error);
        }
        if (extent->kind != VIRTIO_BLK_EXTENT_DATA && extent->kind != VIRTIO_BLK_EXTENT_HOLE) {
            return extents_malformed(file, off, "has an unknown kind", error);
        }
    }
    return true;
}

/* Fetches the extents from the sector of `off` on. */
static bool extents_fetch(struct device_file *device_file, uint64_t off, struct error *error)
{
    struct extent_batch *batch = device_file->extents;
    struct virtio_blk_request *request = &device_file->own->blk;
    uint64_t sector_off = round_down(off, VIRTIO_BLK_SECTOR_LEN);
    batch->count = 0;
    batch->current = 0;
    virtio_blk_extents(&device_file->blk, DEVICE_FILE_QUEUE, request, sector_off, batch->answer, sizeof(batch->answer));
    RETURN_IF_FAILED(device_file_execute(device_file, error));

    struct virtio_blk_extents_head head;
    uint32_t written_len = request->written_len;
    struct span answer = {batch->answer, written_len > 0 ? written_len - 1 : 0}; /* without the status */
    if (!span_copy(answer, 0, &head, sizeof(head)) || head.count == 0 || head.count > EXTENT_BATCH_MAX ||
        !span_copy(answer, sizeof(head), batch->extents, head.count * sizeof(*batch->extents))) {
        return extents_malformed(&device_file->file, sector_off, "is cut short", error);
    }
    batch->count = head.count;
    if (!extents_check(&device_file->file, batch, sector_off, error)) {
        batch->count = 0;
        return false;
    }
    return true;
}

static bool extent_has(const struct virtio_blk_extent *extent, uint64_t off)
{
    return off >= extent->off && off - extent->off < extent->len;
}

/* The extent of the batch that has `off`; NULL if there is none. Mostly it is the last one again, or the next one. */
static const struct virtio_blk_extent *extents_find(struct extent_batch *batch, uint64_t off)
{
    const struct virtio_blk_extent *extents = batch->extents;
    uint32_t first = batch->current;
    uint32_t end = batch->count;
    if (first < end && extent_has(&extents[first], off)) {
        return &extents[first];
    }
    if (first + 1 < end && extent_has(&extents[first + 1], off)) {
        batch->current = first + 1;
        return &extents[first + 1];
    }
    first = 0;
    while (first < end) { /* ends: the range of what it can be is halved */
        uint32_t middle = first + (end - first) / 2;
        if (extent_has(&extents[middle], off)) {
            batch->current = middle;
            return &extents[middle];
        }
        if (off < extents[middle].off) {
            end = middle;
        } else {
            first = middle + 1;
        }
    }
    return NULL;
}

/* Memory for a list: that of the file that got its own longest ago, when there are as many as there may be. */
static bool extents_take(struct device_file *device_file)
{
    struct device_files *files = device_file->owner;
    struct device_file **place = &files->with_extents[files->next_with_extents];
    struct extent_batch *batch;
    if (*place != NULL) {
        batch = (*place)->extents;
        (*place)->extents = NULL;
    } else {
        batch = arena_allocate(files->arena, sizeof(*batch), VIRTIO_BLK_SECTOR_LEN);
        if (batch == NULL) {
            return false;
        }
    }
    batch->count = 0;
    batch->current = 0;
    device_file->extents = batch;
    *place = device_file;
    files->next_with_extents = (files->next_with_extents + 1) % DEVICE_FILE_BATCHES_MAX;
    return true;
}

bool file_extent(struct file *file, uint64_t off, enum file_extent_kind *ret_kind, uint64_t *ret_len,
                 struct error *error)
{
    struct device_file *device_file = device_file_of(file);
    if (file->source != NULL) {
        return file->source->extent(file, off, ret_kind, ret_len, error);
    }
    if (off >= file->len) {
        return error_set(error, ERROR_GUEST, file->name, "query of data and holes behind the end");
    }
    uint64_t end_off = file->start_off + file->len; /* of the device, as `off` is from here on */
    off += file->start_off;
    if ((device_file->blk.mmio.features & VIRTIO_BLK_F_INSTAR) == 0) {
        *ret_kind = FILE_DATA; /* a device that cannot tell */
        *ret_len = end_off - off;
        return true;
    }
    if (device_file->extents == NULL && !extents_take(device_file)) {
        return error_set(error, ERROR_LIMIT, file->name, "no memory is left for lists of data and holes");
    }
    const struct virtio_blk_extent *extent = extents_find(device_file->extents, off);
    if (extent == NULL) {
        RETURN_IF_FAILED(extents_fetch(device_file, off, error));
        extent = extents_find(device_file->extents, off);
    }
    if (extent == NULL) {
        return extents_malformed(file, off, "does not reach it", error);
    }
    *ret_kind = extent->kind == VIRTIO_BLK_EXTENT_HOLE ? FILE_HOLE : FILE_DATA;
    *ret_len = min_u64(extent->off + extent->len, end_off) - off;
    return true;
}
