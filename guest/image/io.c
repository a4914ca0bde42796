/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.h on devices. A request of the caller's is carried out in pieces, as large as the device takes them, one after the
 * other; each takes a slot. What finds no slot, or no room in its device's queue, waits in line.
 */
#include "guest/image/io.h"

#include <string.h>

#include "base/checked.h"
#include "guest/image/device_files.h"

/* Left free in every queue: file.h's request. */
#define QUEUE_RESERVE 1u

struct io_slot {
    struct device_request request; /* first, see slot_of */
    struct io_request *user;
    uint64_t piece_len;
    uint8_t head[VIRTIO_BLK_SECTOR_LEN]; /* what a read's first sector has before the data */
    uint8_t tail[VIRTIO_BLK_SECTOR_LEN]; /* what a read's last sector has behind it; zeros behind the end of a file */
};

/* Requests in line. */
struct io_line {
    struct io_request *first, *last;
};

struct io {
    struct io_slot *free;   /* linked by request.next */
    struct io_slot *unused; /* and those that never were in use: their memory has not been touched */
    uint32_t unused_count;
    struct io_line waiting;
    struct io_line finished;                       /* nothing is left to do, but `done` was not called yet */
    struct error failure;                          /* of those of them that have failed */
    struct device_file *active[LAYOUT_DEVICE_MAX]; /* with requests under way */
    uint32_t active_count;
};

static struct io_slot *slot_of(struct device_request *request)
{
    return (struct io_slot *)request;
}

static void line_append(struct io_line *line, struct io_request *request)
{
    request->next = NULL;
    if (line->first == NULL) {
        line->first = request;
    } else {
        line->last->next = request;
    }
    line->last = request;
}

static void line_prepend(struct io_line *line, struct io_request *request)
{
    request->next = line->first;
    if (line->first == NULL) {
        line->last = request;
    }
    line->first = request;
}

static struct io_request *line_take(struct io_line *line)
{
    struct io_request *request = line->first;
    if (request != NULL) {
        line->first = request->next;
    }
    return request;
}

static void slot_free(struct io *io, struct io_slot *slot)
{
    slot->user = NULL;
    slot->request.next = io->free != NULL ? &io->free->request : NULL;
    io->free = slot;
}

/* One that is free, or NULL. It is the caller's from then on. */
static struct io_slot *slot_take(struct io *io)
{
    struct io_slot *slot = io->free;
    if (slot != NULL) {
        io->free = slot->request.next != NULL ? slot_of(slot->request.next) : NULL;
    } else if (io->unused_count > 0) {
        slot = io->unused++;
        io->unused_count--;
        slot->request.blk.owner = &slot->request;
    }
    return slot;
}

struct io *io_make(struct arena *arena, uint32_t request_count)
{
    struct io *io = arena_allocate(arena, sizeof(*io), _Alignof(struct io));
    struct io_slot *slots = arena_allocate(arena, (uint64_t)request_count * sizeof(*slots), _Alignof(struct io_slot));
    if (io == NULL || slots == NULL) {
        return NULL;
    }
    io->unused = slots;
    io->unused_count = request_count;
    return io;
}

/* Data that fits one request, with room for what belongs to whole sectors at both ends. */
static uint64_t transfer_len_max(const struct virtio_blk *blk)
{
    uint64_t data_len = (uint64_t)blk->segment_len * (blk->segment_count - 2);
    return min_u64(round_down(data_len, VIRTIO_BLK_SECTOR_LEN), blk->transfer_len - 2 * VIRTIO_BLK_SECTOR_LEN);
}

/* How long the next piece is; 0 when it is not about bytes, or the device has none of them. */
static uint64_t piece_len(const struct io_request *user)
{
    const struct virtio_blk *blk = &device_file_of(user->file)->blk;
    uint64_t off = user->off + user->done_len;
    uint64_t left_len = user->len - user->done_len;
    switch (user->type) {
    case VIRTIO_BLK_T_IN:
        return off < user->file->len ? min_u64(min_u64(left_len, user->file->len - off), transfer_len_max(blk)) : 0;
    case VIRTIO_BLK_T_OUT:
        return min_u64(left_len, transfer_len_max(blk));
    case VIRTIO_BLK_T_WRITE_ZEROES:
        /* A device that has no such request says so when it gets one. */
        return min_u64(left_len, blk->zeroing_len != 0 ? blk->zeroing_len : VIRTIO_BLK_DATA_LEN_MAX);
    case VIRTIO_BLK_T_INSTAR_COPY:
        return min_u64(left_len, VIRTIO_BLK_COPY_LEN_MAX);
    case VIRTIO_BLK_T_INSTAR_FIND_ZEROS:
        return left_len;
    default:
        return 0;
    }
}

/* A transfer of whole sectors: `head_len` bytes before the piece, the piece, and what is missing behind it. */
static void submit_transfer(struct io_slot *slot, struct virtio_blk *blk)
{
    struct io_request *user = slot->user;
    uint64_t off = user->file->start_off + user->off + user->done_len;
    uint64_t head_len = off % VIRTIO_BLK_SECTOR_LEN;
    uint64_t end_off = off + slot->piece_len;
    uint64_t tail_len = round_up(end_off, VIRTIO_BLK_SECTOR_LEN) - end_off;
    struct virtio_blk_segment segments[3];
    uint32_t count = 0;
    if (head_len > 0) {
        segments[count++] = (struct virtio_blk_segment){slot->head, head_len};
    }
    segments[count++] = (struct virtio_blk_segment){user->data + user->done_len, slot->piece_len};
    if (tail_len > 0) {
        segments[count++] = (struct virtio_blk_segment){slot->tail, tail_len};
    }
    if (user->type == VIRTIO_BLK_T_IN) {
        virtio_blk_read_segments(blk, DEVICE_FILE_QUEUE, &slot->request.blk, off - head_len, segments, count);
    } else {
        memset(slot->tail, 0, tail_len);
        virtio_blk_write_segments(blk, DEVICE_FILE_QUEUE, &slot->request.blk, off, segments, count);
    }
}

static void submit_copy(struct io_slot *slot, struct virtio_blk *blk)
{
    const struct io_request *user = slot->user;
    struct virtio_blk_copy copy = {
        .source_device = user->source->device,
        .flags = user->zero_len != 0 ? VIRTIO_BLK_COPY_DETECT_ZEROS : 0,
        .source_off = user->source->start_off + user->source_off + user->done_len,
        .target_off = user->file->start_off + user->off + user->done_len,
        .len = slot->piece_len,
        .zero_len = user->zero_len,
    };
    virtio_blk_copy(blk, DEVICE_FILE_QUEUE, &slot->request.blk, &copy);
}

static void submit_piece(struct io_slot *slot)
{
    struct io_request *user = slot->user;
    struct virtio_blk *blk = &device_file_of(user->file)->blk;
    struct virtio_blk_request *request = &slot->request.blk;
    uint64_t off = user->file->start_off + user->off + user->done_len;
    switch (user->type) {
    case VIRTIO_BLK_T_IN:
    case VIRTIO_BLK_T_OUT:
        submit_transfer(slot, blk);
        break;
    case VIRTIO_BLK_T_WRITE_ZEROES:
        /* The last sector is whole for the device: it cuts it off. */
        virtio_blk_write_zeroes(blk, DEVICE_FILE_QUEUE, request, off, round_up(slot->piece_len, VIRTIO_BLK_SECTOR_LEN),
                                user->may_unmap);
        break;
    case VIRTIO_BLK_T_INSTAR_COPY:
        submit_copy(slot, blk);
        break;
    case VIRTIO_BLK_T_INSTAR_FIND_ZEROS:
        virtio_blk_find_zeros(blk, DEVICE_FILE_QUEUE, request, off, user->unit_bits,
                              (uint32_t)(slot->piece_len >> user->unit_bits), user->data);
        break;
    default:
        virtio_blk_flush(blk, DEVICE_FILE_QUEUE, request);
        break;
    }
}

/* A new length is given at once, also where the file is read meanwhile: what is finished then is not lost. */
static void set_len(struct io *io, struct io_request *user)
{
    struct device_file *device_file = device_file_of(user->file);
    struct virtio_blk *blk = &device_file->blk;
    virtio_blk_set_len(blk, DEVICE_FILE_QUEUE, &device_file->own->blk, user->off);
    user->has_failed =
        !device_file_execute(device_file, &io->failure) || !virtio_blk_lengths_refresh(blk, &io->failure);
    user->file->len = blk->file_len;
}

/* The disk of an image is read at once, as that waits for what it needs (image_file.h). */
static void read_source(struct io *io, struct io_request *user)
{
    struct file *file = user->file;
    user->has_failed =
        user->type == VIRTIO_BLK_T_IN
            ? !file->source->read(file, user->off, user->data, (size_t)user->len, &io->failure)
            : !error_set(&io->failure, ERROR_UNSUPPORTED, file->name, "an image's disk is only read as a file");
}

/* Does what needs no device: sets a length, has nothing to read. False: the request is the device's. */
static bool finish_without_device(struct io *io, struct io_request *user)
{
    struct device_file *device_file = device_file_of(user->file);
    if (user->file->source != NULL) {
        read_source(io, user);
        return true;
    }
    switch (user->type) {
    case VIRTIO_BLK_T_IN:
        if (piece_len(user) > 0) {
            return false;
        }
        memset(user->data + user->done_len, 0, user->len - user->done_len); /* behind the end of the file */
        return true;
    case VIRTIO_BLK_T_FLUSH:
        /* A device without FLUSH has no cache that could be lost (5.2.6.2). */
        return (device_file->blk.mmio.features & VIRTIO_BLK_F_FLUSH) == 0;
    case VIRTIO_BLK_T_INSTAR_SET_LEN:
        set_len(io, user);
        return true;
    default:
        return user->len == user->done_len;
    }
}

/* Submits what waits, as far as there are slots and room: in order, so that nothing waits forever. */
static void start_waiting(struct io *io)
{
    while (io->waiting.first != NULL) {
        struct io_request *user = io->waiting.first;
        if (finish_without_device(io, user)) {
            line_append(&io->finished, line_take(&io->waiting));
            continue;
        }
        struct device_file *device_file = device_file_of(user->file);
        if (virtio_blk_room(&device_file->blk, DEVICE_FILE_QUEUE) <= QUEUE_RESERVE) {
            return;
        }
        struct io_slot *slot = slot_take(io);
        if (slot == NULL) {
            return;
        }
        slot->user = line_take(&io->waiting);
        slot->piece_len = piece_len(user);
        submit_piece(slot);
        device_file->io_count++;
        if (!device_file->io_is_active) {
            device_file->io_is_active = true;
            io->active[io->active_count++] = device_file;
        }
    }
}

static void submit(struct io *io, struct io_request *request)
{
    request->done_len = 0;
    line_append(&io->waiting, request);
    if (io->waiting.first == request) {
        start_waiting(io);
    }
}

/* Takes the result of a piece. Sets *ret_done when it was the request's last one. */
static void finish_piece(struct io *io, struct io_slot *slot, struct device_file *device_file, bool *ret_done)
{
    struct io_request *user = slot->user;
    struct error error = {0};
    bool success = virtio_blk_check(&device_file->blk, &slot->request.blk, &error);
    user->done_len += slot->piece_len;
    slot_free(io, slot);
    device_file->io_count--;
    if (success && user->done_len < user->len) {
        line_prepend(&io->waiting, user); /* goes on before others start */
        start_waiting(io);
        return;
    }
    *ret_done = true;
    user->done(user, success ? NULL : &error);
}

static bool reap(struct io *io, struct device_file *device_file, bool *ret_done, struct error *error)
{
    for (;;) { /* ends: a device finishes no more than what it has */
        struct device_request *request = device_file->strays;
        if (request != NULL) {
            device_file->strays = request->next;
        } else {
            struct virtio_blk_request *reaped;
            RETURN_IF_FAILED(virtio_blk_reap(&device_file->blk, DEVICE_FILE_QUEUE, &reaped, error));
            if (reaped == NULL) {
                return true;
            }
            request = reaped->owner;
        }
        finish_piece(io, slot_of(request), device_file, ret_done);
    }
}

static void kick(struct io *io)
{
    start_waiting(io);
    for (uint32_t i = 0; i < io->active_count; i++) {
        virtio_blk_kick(&io->active[i]->blk, DEVICE_FILE_QUEUE);
    }
}

static void forget_idle(struct io *io)
{
    for (uint32_t i = 0; i < io->active_count;) {
        if (io->active[i]->io_count == 0) {
            io->active[i]->io_is_active = false;
            io->active[i] = io->active[--io->active_count];
        } else {
            i++;
        }
    }
}

static bool poll(struct io *io, bool *ret_done, struct error *error)
{
    kick(io);
    struct io_request *last = io->finished.first != NULL ? io->finished.last : NULL; /* not what `done` submits */
    while (last != NULL) {
        struct io_request *user = line_take(&io->finished);
        last = user == last ? NULL : last;
        *ret_done = true;
        user->done(user, user->has_failed ? &io->failure : NULL);
    }
    for (uint32_t i = 0; i < io->active_count; i++) {
        RETURN_IF_FAILED(reap(io, io->active[i], ret_done, error));
    }
    kick(io); /* what `done` has submitted */
    forget_idle(io);
    return true;
}

static struct io_request *prepare(struct io_request *request, uint32_t type, struct file *file, uint64_t off,
                                  uint64_t len)
{
    request->type = type;
    request->file = file;
    request->off = off;
    request->len = len;
    request->has_failed = false;
    return request;
}

void io_read(struct io *io, struct io_request *request, struct file *file, uint64_t off, void *data, uint64_t len)
{
    request->data = data;
    submit(io, prepare(request, VIRTIO_BLK_T_IN, file, off, len));
}

void io_write(struct io *io, struct io_request *request, struct file *file, uint64_t off, const void *data,
              uint64_t len)
{
    request->data = (uint8_t *)(uintptr_t)data; /* a write only reads it */
    submit(io, prepare(request, VIRTIO_BLK_T_OUT, file, off, len));
}

void io_write_zeroes(struct io *io, struct io_request *request, struct file *file, uint64_t off, uint64_t len,
                     bool may_unmap)
{
    request->may_unmap = may_unmap;
    submit(io, prepare(request, VIRTIO_BLK_T_WRITE_ZEROES, file, off, len));
}

void io_copy(struct io *io, struct io_request *request, struct file *source, uint64_t source_off, struct file *target,
             uint64_t target_off, uint64_t len, uint32_t zero_len)
{
    request->source = source;
    request->source_off = source_off;
    request->zero_len = zero_len;
    submit(io, prepare(request, VIRTIO_BLK_T_INSTAR_COPY, target, target_off, len));
}

void io_find_zeros(struct io *io, struct io_request *request, struct file *file, uint64_t off, uint32_t unit_bits,
                   uint32_t unit_count, uint8_t *bitmap)
{
    request->unit_bits = unit_bits;
    request->data = bitmap;
    submit(io, prepare(request, VIRTIO_BLK_T_INSTAR_FIND_ZEROS, file, off, (uint64_t)unit_count << unit_bits));
}

void io_set_len(struct io *io, struct io_request *request, struct file *file, uint64_t len)
{
    submit(io, prepare(request, VIRTIO_BLK_T_INSTAR_SET_LEN, file, len, 0));
}

void io_flush(struct io *io, struct io_request *request, struct file *file)
{
    submit(io, prepare(request, VIRTIO_BLK_T_FLUSH, file, 0, 0));
}

bool io_poll(struct io *io, struct error *error)
{
    bool done = false;
    return poll(io, &done, error);
}

bool io_wait(struct io *io, struct error *error)
{
    bool done = false;
    RETURN_IF_FAILED(poll(io, &done, error));
    while (!done) { /* ends: something is under way, and the host ends a job whose device does not answer */
        struct virtio_blk *blks[LAYOUT_DEVICE_MAX];
        for (uint32_t i = 0; i < io->active_count; i++) {
            blks[i] = &io->active[i]->blk;
        }
        if (io->finished.first == NULL) {
            RETURN_IF_FAILED(virtio_blk_wait_any(blks, io->active_count, error));
        }
        RETURN_IF_FAILED(poll(io, &done, error));
    }
    return true;
}
