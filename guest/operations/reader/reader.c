/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/reader/reader.h"

#include <stdio.h>

#include "abi/layout.h"
#include "base/checked.h"
#include "base/units.h"
#include "guest/operations/reader/disk_walk.h"
#include "guest/operations/reader/reader_memory.h"
#include "guest/operations/reader/reader_scan.h"
#include "guest/operations/reader/reader_streams.h"
#include "guest/runtime/messages.h"
#include "guest/runtime/platform.h"

#define SLOT_COUNT_MAX 16u
/* Two disks are compared by two readers. */
_Static_assert(2 * (SLOT_COUNT_MAX * SLOT_TASKS_MAX + READER_STREAMS_MAX) <= WORKERS_TASK_MAX,
               "all tasks can always be handed out");
/* Parts that are known ahead. */
#define LINE_LEN 64u
/* Shorter runs of zeros are filled in: a part of their own costs more. */
#define ZERO_PART_LEN_MIN 131072u

/* Stretches that the host looks at for zeros meanwhile. */
#define SCAN_COUNT 4u
/* Less is read: that takes a request, too. */
#define SCAN_LEN_MIN (256ull << 10)

enum line_kind {
    LINE_PART,
    LINE_SCAN,   /* several parts, when it is done */
    LINE_FAILED, /* the rest of the disk cannot be told */
};

struct line_item {
    enum line_kind kind;
    struct reader_part part;  /* PART; of a slot: without voff and len, which are known when it is ready */
    struct reader_scan *scan; /* SCAN */
};

struct reader {
    struct slot_environment environment;
    struct disk_walk walk;
    uint64_t plain_len_min;
    bool splits_sectors;
    uint64_t own_unit_len;
    const struct image *own_base;
    struct chain_extent extent; /* what is left of it has to be planned */
    bool has_extent;
    bool has_failed; /* nothing more can be planned: `error` is the last item in line */
    bool has_told_missing;
    struct error error;
    struct line_item line[LINE_LEN]; /* a ring, in the order of the disk */
    uint32_t line_first;
    uint32_t line_count;
    struct reader_slot *planning; /* the last one in line, NULL if that is none */
    struct reader_slot *free;
    uint32_t zero_unit_bits; /* 0: the host does not look for zeros */
    struct reader_scan *free_scan;
    struct reader_scan scans[SCAN_COUNT];
};

/*
 * What is alike lies together: memory is touched when it is needed, in huge pages, each of which costs 0.3 ms to zero.
 * Small disks need the first slot, and those without compressed clusters no streams.
 */
static uint32_t make_slots(struct reader *reader, struct arena *arena, uint64_t memory_len)
{
    struct slot_environment *environment = &reader->environment;
    uint64_t room = min_u64(memory_len, arena_left(arena, LAYOUT_PAGE_LEN));
    uint32_t count = (uint32_t)min_u64(room / reader_memory_slot_len(environment), SLOT_COUNT_MAX);
    struct reader_slot *slots = arena_allocate(arena, count * sizeof(*slots), _Alignof(struct reader_slot));
    uint8_t *buffers = arena_allocate(arena, count * environment->slot_len, LAYOUT_PAGE_LEN);
    uint8_t *streams = arena_allocate(arena, count * environment->streams_len, LAYOUT_PAGE_LEN);
    if (slots == NULL || buffers == NULL || streams == NULL) {
        return 0;
    }
    for (uint32_t i = count; i > 0; i--) {
        struct reader_slot *slot = &slots[i - 1];
        slot->environment = environment;
        slot->buffer = buffers + (i - 1) * environment->slot_len;
        slot->streams = streams + (i - 1) * environment->streams_len;
        slot->next_free = reader->free;
        reader->free = slot;
    }
    return count;
}

bool reader_make(const struct reader_setup *setup, struct reader **ret_reader, struct error *error)
{
    uint64_t left_before = arena_left(setup->arena, 1);
    struct reader *reader = arena_allocate(setup->arena, sizeof(*reader), _Alignof(struct reader));
    bool is_made = reader != NULL && reader_memory_init(&reader->environment, setup);
    if (is_made) {
        uint64_t taken = left_before - arena_left(setup->arena, 1);
        uint64_t memory_len = setup->memory_len > taken ? setup->memory_len - taken : 0;
        is_made = make_slots(reader, setup->arena, memory_len) >= READER_MEMORY_SLOT_COUNT_MIN;
    }
    if (!is_made) {
        return error_set(error, ERROR_HOST, NULL, "the machine has no memory for the buffers of an image");
    }
    reader->environment.io = setup->io;
    reader->environment.salvage = setup->salvage;
    reader->plain_len_min = setup->plain_len_min;
    reader->splits_sectors = setup->splits_sectors;
    reader->own_unit_len = setup->own_unit_len;
    reader->own_base = setup->own_base;
    for (uint32_t i = 0; i < SCAN_COUNT; i++) {
        reader->scans[i].next_free = reader->free_scan;
        reader->free_scan = &reader->scans[i];
    }
    *ret_reader = reader;
    return true;
}

void reader_start(struct reader *reader, struct image *image)
{
    reader_start_part(reader, image, 0, image->virtual_len);
}

void reader_start_part(struct reader *reader, struct image *image, uint64_t start_voff, uint64_t end_voff)
{
    disk_walk_init(&reader->walk, image);
    reader->walk.next_voff = start_voff;
    reader->walk.end_voff = end_voff;
    reader->walk.takes_missing = reader->environment.salvage;
    if (reader->own_unit_len != 0) {
        disk_walk_own(&reader->walk, reader->own_unit_len,
                      reader->own_base != NULL ? reader->own_base : image->backing);
    }
    reader->environment.device = image->file->device;
    reader->environment.disk_end = end_voff;
    reader->has_extent = false;
    reader->has_failed = false;
    reader->has_told_missing = false;
    reader->line_first = 0;
    reader->line_count = 0;
    reader->planning = NULL;
    reader->zero_unit_bits = 0;
}

void reader_skip_known(struct reader *reader, struct known_stretches *known)
{
    reader->walk.known = known;
}

void reader_find_zeros(struct reader *reader, uint32_t unit_bits)
{
    reader->zero_unit_bits = unit_bits;
}

bool reader_is_finished(const struct reader *reader)
{
    return reader->line_count == 0 && !reader->has_extent && disk_walk_is_finished(&reader->walk);
}

static struct line_item *line_at(struct reader *reader, uint32_t index)
{
    return &reader->line[(reader->line_first + index) % LINE_LEN];
}

static void line_push(struct reader *reader, const struct line_item *item)
{
    *line_at(reader, reader->line_count++) = *item;
}

static void line_push_part(struct reader *reader, const struct reader_part *part)
{
    const struct line_item item = {.kind = LINE_PART, .part = *part};
    line_push(reader, &item);
}

static void end_planning(struct reader *reader)
{
    if (reader->planning != NULL) {
        slot_submit(reader->planning);
        reader->planning = NULL;
    }
}

/* An error is in line behind what was planned before it. */
static void fail(struct reader *reader)
{
    const struct line_item failed = {.kind = LINE_FAILED};
    end_planning(reader);
    reader->has_failed = true;
    line_push(reader, &failed);
}

/* Once for each disk. */
static void tell_missing(struct reader *reader)
{
    static instar_GuestMessage message; /* large */
    if (!reader->walk.has_missing || reader->has_told_missing) {
        return;
    }
    reader->has_told_missing = true;
    message = (instar_GuestMessage){.which_kind = instar_GuestMessage_warning_tag};
    message.kind.warning.device = reader->environment.device;
    snprintf(message.kind.warning.text, sizeof(message.kind.warning.text),
             "the file was cut short: what is missing, from offset %llu of the disk on, reads as zeros",
             (unsigned long long)reader->walk.missing_voff);
    messages_send(&message);
}

/* Asks for the next extent. False when there is none, or it cannot be told. */
static bool next_extent(struct reader *reader)
{
    struct error error = {0};
    if (disk_walk_is_finished(&reader->walk)) {
        return false;
    }
    reader->has_extent = true;
    if (disk_walk_next(&reader->walk, &reader->extent, &error)) {
        tell_missing(reader);
        return true;
    }
    if (!reader->environment.salvage) {
        reader->has_extent = false;
        reader->error = error;
        fail(reader);
        return false;
    }
    reader->extent = disk_walk_skip(&reader->walk);
    instar_GuestMessage message = {
        .which_kind = instar_GuestMessage_warning_tag,
        .kind.warning.device = reader->environment.device,
    };
    snprintf(message.kind.warning.text, sizeof(message.kind.warning.text),
             "error while reading block status at offset %llu: %.128s", (unsigned long long)reader->extent.extent.voff,
             error.detail);
    messages_send(&message);
    return true;
}

/* `len` bytes of the extent have found their place. */
static void consume(struct reader *reader, uint64_t len)
{
    struct extent *extent = &reader->extent.extent;
    extent->voff += len;
    extent->len -= len;
    if (extent->kind == EXTENT_DATA || extent->kind == EXTENT_ENCRYPTED) {
        extent->file_off += len;
        extent->cipher_off += len;
    }
    reader->has_extent = extent->len > 0;
}

/* How much of the extent its file really has: what is behind the file's end reads as zeros, but cannot be copied. */
static uint64_t stored_len(const struct extent *extent)
{
    uint64_t file_len = extent->file->len;
    return extent->file_off < file_len ? min_u64(extent->len, file_len - extent->file_off) : 0;
}

/* Whether the extent, or its start, can be a part without a slot. */
static bool is_part_alone(const struct reader *reader)
{
    const struct extent *extent = &reader->extent.extent;
    return extent->kind == EXTENT_UNALLOCATED || (extent->kind == EXTENT_ZERO && extent->len >= ZERO_PART_LEN_MIN) ||
           (extent->kind == EXTENT_DATA && stored_len(extent) >= max_u64(reader->plain_len_min, SECTOR_LEN) &&
            (extent->file->start_off + extent->file_off) % SECTOR_LEN == 0);
}

static enum reader_part_kind part_kind(enum extent_kind kind)
{
    if (kind == EXTENT_UNALLOCATED) {
        return READER_OTHERS;
    }
    return kind == EXTENT_ZERO ? READER_ZERO : READER_PLAIN;
}

static void plan_part_alone(struct reader *reader)
{
    const struct extent *extent = &reader->extent.extent;
    bool is_whole = reader->splits_sectors || extent->kind == EXTENT_UNALLOCATED;
    uint64_t len = extent->kind == EXTENT_DATA ? stored_len(extent) : extent->len;
    struct reader_part part = {
        .kind = part_kind(extent->kind),
        .voff = extent->voff,
        .len = is_whole ? len : round_down(len, SECTOR_LEN),
        .file = extent->file,
        .file_off = extent->file_off,
    };
    end_planning(reader);
    line_push_part(reader, &part);
    consume(reader, part.len);
}

/* How far the extent is from where a scan of it can begin; UINT64_MAX when it is not worth one. */
static uint64_t distance_to_scan(const struct reader *reader)
{
    const struct extent *extent = &reader->extent.extent;
    if (reader->zero_unit_bits == 0 || extent->kind != EXTENT_DATA || !extent->file->finds_zeros) {
        return UINT64_MAX;
    }
    uint64_t unit_len = 1ull << reader->zero_unit_bits;
    uint64_t distance = (unit_len - extent->voff % unit_len) % unit_len;
    uint64_t len = stored_len(extent);
    bool is_at_sector = (extent->file_off + distance) % SECTOR_LEN == 0;
    return is_at_sector && len >= distance && len - distance >= max_u64(SCAN_LEN_MIN, unit_len) ? distance : UINT64_MAX;
}

/* False when there is no scan for it now. */
static bool plan_scan(struct reader *reader)
{
    const struct extent *extent = &reader->extent.extent;
    struct reader_scan *scan = reader->free_scan;
    if (scan == NULL) {
        return false;
    }
    reader->free_scan = scan->next_free;
    struct reader_part part = {
        .kind = READER_PLAIN,
        .voff = extent->voff,
        .len = reader_scan_len(stored_len(extent), reader->zero_unit_bits),
        .file = extent->file,
        .file_off = extent->file_off,
    };
    const struct line_item item = {.kind = LINE_SCAN, .scan = scan};
    end_planning(reader);
    line_push(reader, &item);
    consume(reader, part.len);
    reader_scan_submit(scan, reader->environment.io, &part, reader->zero_unit_bits, &reader->environment.reads_pending);
    return true;
}

/* False when there is no slot for it now, or no decoder. */
static bool plan_in_slot(struct reader *reader)
{
    if (unit_is_long(reader->extent.image, &reader->extent.extent) &&
        !reader_streams_choose(&reader->environment.streams, &reader->extent)) {
        return false; /* what decoders work on comes out, also to this slot */
    }
    if (reader->planning == NULL) {
        struct reader_slot *slot = reader->free;
        if (slot == NULL) {
            return false;
        }
        reader->free = slot->next_free;
        reader->planning = slot;
        slot_open(slot, reader->extent.extent.voff);
        struct reader_part part = {.kind = READER_BYTES, .slot = slot};
        line_push_part(reader, &part);
    }
    struct reader_slot *slot = reader->planning;
    struct chain_extent extent = reader->extent;
    uint64_t to_sector = SECTOR_LEN - extent.extent.voff % SECTOR_LEN;
    if (!reader->splits_sectors && to_sector < SECTOR_LEN) {
        extent.extent.len = min_u64(extent.extent.len, to_sector);
    }
    extent.extent.len = min_u64(extent.extent.len, distance_to_scan(reader));
    uint64_t len;
    if (!slot_add(slot, &extent, &len, &reader->error)) {
        fail(reader);
        return true;
    }
    consume(reader, len);
    uint64_t end = slot->voff + slot->len;
    if (len == 0 || end == slot->limit_end || (reader->splits_sectors && end % SECTOR_LEN != 0)) {
        end_planning(reader);
    }
    return true;
}

/* Plans as far as there is room for. Two items at most are added in one step. */
static void plan(struct reader *reader)
{
    while (!reader->has_failed && reader->line_count + 2 <= LINE_LEN) {
        if (!reader->has_extent && !next_extent(reader)) {
            break;
        }
        bool is_at_sector = reader->extent.extent.voff % SECTOR_LEN == 0;
        if (is_part_alone(reader) && (is_at_sector || reader->splits_sectors)) {
            plan_part_alone(reader);
        } else if (distance_to_scan(reader) == 0) {
            if (!plan_scan(reader)) {
                break;
            }
        } else if (!plan_in_slot(reader)) {
            break;
        }
    }
    if (!reader->has_extent && disk_walk_is_finished(&reader->walk)) {
        end_planning(reader);
    }
}

void reader_advance(struct reader *reader)
{
    plan(reader);
    reader_streams_advance(&reader->environment.streams);
    for (uint32_t i = 0; i < reader->line_count; i++) {
        struct line_item *item = line_at(reader, i);
        if (item->kind == LINE_PART && item->part.kind == READER_BYTES) {
            slot_advance(item->part.slot);
        }
    }
}

static void line_pop(struct reader *reader)
{
    reader->line_first = (reader->line_first + 1) % LINE_LEN;
    reader->line_count--;
}

/* The next part of the scan that is first in line. */
static bool take_scanned(struct reader *reader, struct reader_part *ret_part)
{
    struct reader_scan *scan = line_at(reader, 0)->scan;
    if (!scan->is_done) {
        return false;
    }
    if (!reader_scan_take(scan, ret_part)) {
        scan->next_free = reader->free_scan;
        reader->free_scan = scan;
        line_pop(reader);
    }
    return true;
}

bool reader_take(struct reader *reader, struct reader_part *ret_part, bool *ret_is_taken, struct error *error)
{
    *ret_is_taken = false;
    if (reader->line_count == 0) {
        return true;
    }
    struct line_item *item = line_at(reader, 0);
    if (item->kind == LINE_FAILED) {
        *error = reader->error;
        return false;
    }
    if (item->kind == LINE_SCAN) {
        *ret_is_taken = take_scanned(reader, ret_part);
        return true;
    }
    struct reader_part part = item->part;
    if (part.kind == READER_BYTES) {
        struct reader_slot *slot = part.slot;
        if (slot->state != SLOT_READY) {
            return true;
        }
        if (slot->has_failed) {
            *error = slot->error;
            return false;
        }
        part.voff = slot->voff;
        part.len = slot->len;
        part.data = slot->buffer + slot->voff % reader->environment.slot_len;
        slot->users = 1;
    }
    line_pop(reader);
    *ret_part = part;
    *ret_is_taken = true;
    return true;
}

void reader_keep(const struct reader_part *part)
{
    if (part->kind == READER_BYTES) {
        part->slot->users++;
    }
}

void reader_release(struct reader *reader, const struct reader_part *part)
{
    if (part->kind == READER_BYTES && --part->slot->users == 0) {
        part->slot->state = SLOT_FREE;
        part->slot->next_free = reader->free;
        reader->free = part->slot;
    }
}

bool reader_wait(struct reader *reader, const uint32_t *others_pending, struct error *error)
{
    const struct slot_environment *environment = &reader->environment;
    uint32_t pending = environment->reads_pending + *others_pending;
    RETURN_IF_FAILED(io_poll(environment->io, error));
    if (environment->reads_pending + *others_pending != pending || workers_help()) {
        return true;
    }
    if (pending > 0) {
        return io_wait(environment->io, error);
    }
    platform_relax();
    return true;
}

const uint32_t *reader_pending(const struct reader *reader)
{
    return &reader->environment.reads_pending;
}

uint64_t reader_bytes_read(const struct reader *reader)
{
    return reader->environment.bytes_read;
}
