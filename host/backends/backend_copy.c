/* SPDX-License-Identifier: Apache-2.0 */
#include "host/backends/backend_copy.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "host/backends/copy_zeros.h"
#include "host/backends/file_ranges.h"
#include "host/backends/write_out.h"

#define PAGE_LEN 4096u
/* What goes past the page cache is read in long requests; a direct read may have to begin a little earlier. */
#define DIRECT_DATA_LEN (1024u * 1024u)
#define BUFFER_ALIGN (64u * 1024u)
#define BUFFER_LEN (DIRECT_DATA_LEN + BUFFER_ALIGN)
/* What goes through the page cache stays in a processor's own cache between its read and its write. */
#define CACHED_DATA_LEN (256u * 1024u)
/* Less than this is done before a helper is awake. */
#define SHARED_WORK_LEN_MIN (1024u * 1024u)

/* A copy under way, or what one thread does of it. */
struct work {
    struct backend *target;
    struct backend_copy *copy;
    uint8_t *buffer;   /* BUFFER_ALIGN more than data_len */
    size_t data_len;   /* read at a time */
    uint64_t hole_off; /* a range of the target that is known to have no data */
    uint64_t hole_end;
};

/*
 * The file system's block, which on those that can share is st_blksize, unless an administrator chose a larger one:
 * that then shares less. The source's is the same, if anything can be shared.
 */
static uint64_t share_len(int fd)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || !is_power_of_two((uint64_t)status.st_blksize)) {
        return 0;
    }
    return max_u64((uint64_t)status.st_blksize, PAGE_LEN);
}

bool backend_copy_prepare(struct backend *target, struct error *error)
{
    if (target->copy_buffer == NULL) {
        target->copy_buffer = aligned_alloc(BUFFER_ALIGN, BUFFER_LEN);
    }
    target->share_len = share_len(target->data_fd);
    return target->copy_buffer != NULL || error_set(error, ERROR_HOST, NULL, "out of memory");
}

static int fail(struct work *work, bool at_source, uint64_t off, int result)
{
    work->copy->failed_at_source = at_source;
    work->copy->failed_off = off;
    return result;
}

/* Whether so much may still be written or shared. */
static bool fits(const struct work *work, uint64_t len)
{
    const struct backend_copy *copy = work->copy;
    return len <= copy->store_max_len - backend_copy_stored_len(copy);
}

static uint64_t target_off(const struct work *work, uint64_t source_off)
{
    return work->copy->target_off + (source_off - work->copy->source_off);
}

static bool is_cancelled(const struct work *work)
{
    return work->copy->is_cancelled != NULL && work->copy->is_cancelled(work->copy->context);
}

static int start_and_finish(struct backend *target, struct backend_operation operation)
{
    backend_start(target, &operation);
    return operation.result;
}

static int write_piece(struct backend *target, const uint8_t *bytes, uint64_t off, size_t len)
{
    /* The cast drops const: struct iovec has none, and a write only reads. */
    struct iovec piece = {(void *)(uintptr_t)bytes, len};
    if (!target->copies_by_start) {
        int result = file_write(target->data_fd, &piece, 1, off);
        write_out(target, len);
        return result;
    }
    return start_and_finish(target, (struct backend_operation){
                                        .kind = BACKEND_WRITE, .off = off, .len = len, .iov = &piece, .iov_count = 1});
}

/* Before something is stored: 0, or an errno. *ret_room_len is for room_stored. */
static int room_take(struct work *work, uint64_t off, uint64_t len, uint64_t *ret_room_len)
{
    struct backend_copy_room *room = work->copy->room;
    *ret_room_len = 0;
    if (!fits(work, len)) {
        work->copy->is_over_limit = true;
        return fail(work, false, off, EDQUOT);
    }
    if (room != NULL && !room->take(room, off, len, ret_room_len)) {
        work->copy->has_no_room = true;
        return fail(work, false, off, ENOSPC);
    }
    return 0;
}

static void room_stored(const struct work *work, uint64_t room_len)
{
    if (work->copy->room != NULL) {
        work->copy->room->stored(work->copy->room, room_len);
    }
}

static int pieces_write(struct work *work, const uint8_t *bytes, uint64_t off, size_t len)
{
    /* Past the page cache, a long write is one request to the disk. */
    size_t write_len = work->target->direct_fd >= 0 ? len : FILE_CACHED_WRITE_LEN;
    int result = 0;
    for (size_t done_len = 0; result == 0 && done_len < len; done_len += write_len) {
        size_t piece_len = (size_t)min_u64(write_len, len - done_len);
        result = write_piece(work->target, bytes + done_len, off + done_len, piece_len);
        if (result != 0) {
            return fail(work, false, off + done_len, result);
        }
        work->copy->written_len += piece_len;
    }
    return result;
}

static int data_write(struct work *work, const uint8_t *bytes, uint64_t off, size_t len)
{
    uint64_t room_len;
    int result = room_take(work, off, len, &room_len);
    if (result == 0) {
        result = pieces_write(work, bytes, off, len);
        room_stored(work, room_len);
    }
    return result;
}

static int zeros_make(struct backend *target, uint64_t off, uint64_t len)
{
    if (!target->copies_by_start) {
        return file_write_zeroes(target->data_fd, off, len, true);
    }
    return start_and_finish(
        target, (struct backend_operation){.kind = BACKEND_WRITE_ZEROES, .may_unmap = true, .off = off, .len = len});
}

static int zeros_store(struct work *work, uint64_t off, uint64_t len)
{
    if (!work->copy->zeros_are_written) {
        int result = zeros_make(work->target, off, len);
        return result == 0 ? 0 : fail(work, false, off, result);
    }
    uint64_t room_len;
    int result = room_take(work, off, len, &room_len);
    if (result != 0) {
        return result;
    }
    result = zeros_make(work->target, off, len);
    room_stored(work, room_len);
    work->copy->written_zeros_len += result == 0 ? len : 0;
    return result == 0 ? 0 : fail(work, false, off, result);
}

/* Sets *ret_end to where the target ends to be a hole, or data, from `off` on. */
static int target_extent(struct work *work, uint64_t off, bool *ret_is_hole, uint64_t *ret_end)
{
    if (off < work->hole_off || off >= work->hole_end) {
        struct backend_extent found;
        int result = file_extent(work->target->data_fd, work->target->len, off, &found);
        if (result != 0) {
            return result;
        }
        if (found.kind == BACKEND_EXTENT_DATA) {
            *ret_is_hole = false;
            *ret_end = found.off + found.len;
            return 0;
        }
        work->hole_off = found.off;
        work->hole_end = found.off + found.len;
    }
    *ret_is_hole = true;
    *ret_end = work->hole_end;
    return 0;
}

/*
 * Makes a range of the target read as zeros that the source does not store, or that was found to be zeros. Mostly there
 * is nothing to do: what was not written is a hole already. The copy goes from front to back, so a hole that was seen
 * stays one up to where the copy has come.
 */
static int zeros_write(struct work *work, uint64_t off, uint64_t len)
{
    uint64_t end = off + len;
    uint64_t written_end = min_u64(end, work->copy->unwritten_off);
    while (off < written_end) {
        bool is_hole;
        uint64_t extent_end = 0;
        int result = target_extent(work, off, &is_hole, &extent_end);
        extent_end = min_u64(extent_end, written_end);
        if (result != 0) {
            return fail(work, false, off, result);
        }
        result = is_hole ? 0 : zeros_store(work, off, extent_end - off);
        if (result != 0) {
            return result;
        }
        off = extent_end;
    }
    work->copy->zeros_len += len;
    return 0;
}

static int buffer_write(struct work *work, const uint8_t *bytes, uint64_t off, size_t len)
{
    int result = 0;
    while (result == 0 && len > 0) {
        bool is_zero = false;
        size_t run_len =
            work->copy->zero_len > 0 ? copy_zeros_run(bytes, len, off, work->copy->zero_len, &is_zero) : len;
        result = is_zero ? zeros_write(work, off, run_len) : data_write(work, bytes, off, run_len);
        bytes += run_len;
        off += run_len;
        len -= run_len;
    }
    return result;
}

/* Past the page cache: from the block before. What a read at the file's end leaves out is read again, with the cache.
 */
static int direct_read(const struct backend *source, uint8_t *buffer, uint64_t off, size_t len, size_t *ret_lead_len)
{
    size_t lead_len = (size_t)(off % source->direct_len);
    size_t whole_len = (size_t)round_up(lead_len + len, source->direct_len);
    struct iovec whole = {buffer, whole_len};
    ssize_t got;
    do {
        got = preadv(source->direct_fd, &whole, 1, (off_t)(off - lead_len));
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return errno;
    }
    *ret_lead_len = lead_len;
    if ((size_t)got >= lead_len + len) {
        return 0;
    }
    size_t kept_len = (size_t)max_u64((uint64_t)got, lead_len);
    struct iovec rest = {buffer + kept_len, lead_len + len - kept_len};
    return file_read(source->data_fd, &rest, 1, off - lead_len + kept_len);
}

static int source_read(const struct backend *source, uint8_t *buffer, uint64_t off, size_t len, size_t *ret_lead_len)
{
    if (source->direct_fd >= 0 && source->direct_len <= BUFFER_ALIGN) {
        return direct_read(source, buffer, off, len, ret_lead_len);
    }
    struct iovec whole = {buffer, len};
    *ret_lead_len = 0;
    return file_read(source->data_fd, &whole, 1, off);
}

/* Where the piece that begins at `off` ends: where blocks do, for the sake of those that follow. */
static uint64_t piece_end(const struct work *work, uint64_t off, uint64_t end)
{
    return min_u64(round_down(off + work->data_len, BUFFER_ALIGN), end);
}

/* Copies [off, end) of the source, a piece. */
static int piece_copy(struct work *work, uint64_t off, uint64_t end)
{
    size_t len = (size_t)(end - off);
    size_t lead_len = 0;
    if (is_cancelled(work)) {
        return ECANCELED;
    }
    int result = source_read(work->copy->source, work->buffer, off, len, &lead_len);
    if (result != 0) {
        return fail(work, true, off, result);
    }
    return buffer_write(work, work->buffer + lead_len, target_off(work, off), len);
}

/* Pieces that two threads take in turn, each for work of its own. */
struct pieces {
    atomic_uint_least64_t next_off; /* in the source; `end` when nobody shall take one */
    uint64_t end;
};

struct share_of_work {
    struct pieces *pieces;
    struct work work;
    struct backend_copy copy;
    int result;
};

static void pieces_copy(void *argument)
{
    struct share_of_work *share = argument;
    struct pieces *pieces = share->pieces;
    uint64_t off = atomic_load(&pieces->next_off);
    while (share->result == 0 && off < pieces->end) {
        uint64_t end = piece_end(&share->work, off, pieces->end);
        if (atomic_compare_exchange_weak(&pieces->next_off, &off, end)) {
            share->result = piece_copy(&share->work, off, end);
            off = atomic_load(&pieces->next_off);
        }
    }
    if (share->result != 0) {
        atomic_store(&pieces->next_off, pieces->end);
    }
}

static void share_begin(struct share_of_work *share, struct pieces *pieces, const struct work *work, unsigned int index)
{
    *share = (struct share_of_work){.pieces = pieces, .work = *work, .copy = *work->copy};
    share->copy.shared_len = 0;
    share->copy.written_len = 0;
    share->copy.zeros_len = 0;
    share->copy.written_zeros_len = 0;
    share->work.copy = &share->copy;
    share->work.buffer = work->target->copy_buffer + index * (size_t)(CACHED_DATA_LEN + BUFFER_ALIGN);
}

static void share_account(const struct share_of_work *share, struct work *work)
{
    work->copy->written_len += share->copy.written_len;
    work->copy->zeros_len += share->copy.zeros_len;
    work->copy->written_zeros_len += share->copy.written_zeros_len;
    work->copy->has_no_room = work->copy->has_no_room || share->copy.has_no_room;
}

_Static_assert(2 * (CACHED_DATA_LEN + BUFFER_ALIGN) <= BUFFER_LEN, "a buffer for each of two");

/* Copies [off, end) of the source together with the helper. There is room for all of it under the limit. */
static int data_copy_together(struct work *work, uint64_t off, uint64_t end)
{
    struct backend_copy_helper *helper = work->copy->helper;
    struct pieces pieces = {.next_off = off, .end = end};
    struct share_of_work shares[2];
    share_begin(&shares[0], &pieces, work, 0);
    share_begin(&shares[1], &pieces, work, 1);
    bool is_helped = helper->begin(helper, pieces_copy, &shares[1]);
    pieces_copy(&shares[0]);
    if (is_helped) {
        helper->wait(helper);
    }
    share_account(&shares[0], work);
    share_account(&shares[1], work);
    for (unsigned int i = 0; i < 2; i++) {
        if (shares[i].result != 0) {
            return fail(work, shares[i].copy.failed_at_source, shares[i].copy.failed_off, shares[i].result);
        }
    }
    return 0;
}

/* Copies [off, end) of the source, which is data, or is to be treated as such. */
static int data_copy(struct work *work, uint64_t off, uint64_t end)
{
    bool is_direct = work->copy->source->direct_fd >= 0 || work->target->direct_fd >= 0;
    bool can_share = !is_direct && !work->target->copies_by_start && fits(work, end - off);
    work->data_len = is_direct ? DIRECT_DATA_LEN : CACHED_DATA_LEN;
    if (work->copy->helper != NULL && can_share && end - off >= SHARED_WORK_LEN_MIN) {
        return data_copy_together(work, off, end);
    }
    int result = 0;
    while (result == 0 && off < end) {
        uint64_t next_off = piece_end(work, off, end);
        result = piece_copy(work, off, next_off);
        off = next_off;
    }
    return result;
}

/* Copies [off, end) of the source by bytes. */
static int range_copy(struct work *work, uint64_t off, uint64_t end)
{
    if (work->copy->zero_len == 0) {
        return data_copy(work, off, end);
    }
    while (off < end) {
        struct backend_extent found;
        if (is_cancelled(work)) {
            return ECANCELED;
        }
        int result = file_extent(work->copy->source->data_fd, end, off, &found);
        if (result != 0) {
            return fail(work, true, off, result);
        }
        result = found.kind == BACKEND_EXTENT_HOLE ? zeros_write(work, target_off(work, off), found.len)
                                                   : data_copy(work, off, off + found.len);
        if (result != 0) {
            return result;
        }
        off += found.len;
    }
    return 0;
}

/*
 * Sets [*ret_off, *ret_end) of the source to what can be shared: whole blocks, but for the end of a file that becomes
 * the end of the other one. Empty when nothing can.
 */
static void shareable_range(const struct work *work, uint64_t *ret_off, uint64_t *ret_end)
{
    const struct backend_copy *copy = work->copy;
    uint64_t block_len = work->target->share_len;
    uint64_t end = copy->source_off + copy->len;
    *ret_off = end;
    *ret_end = end;
    if (block_len == 0 || (copy->source_off - copy->target_off) % block_len != 0) {
        return;
    }
    bool ends_both = end == backend_len(copy->source) && copy->target_off + copy->len == work->target->len;
    *ret_off = min_u64(round_up(copy->source_off, block_len), end);
    *ret_end = ends_both ? end : max_u64(round_down(end, block_len), *ret_off);
}

/* True when the range is shared now. Whatever the reason why not, it can still be copied. */
static bool share(struct work *work, uint64_t off, uint64_t end)
{
    struct file_clone_range range = {
        .src_fd = work->copy->source->data_fd,
        .src_offset = off,
        .src_length = end - off,
        .dest_offset = target_off(work, off),
    };
    if (ioctl(work->target->data_fd, FICLONERANGE, &range) != 0) {
        return false;
    }
    work->copy->shared_len += end - off;
    return true;
}

int backend_copy(struct backend *target, struct backend_copy *copy)
{
    struct work work = {.target = target, .copy = copy, .buffer = target->copy_buffer};
    uint64_t end = copy->source_off + copy->len;
    uint64_t shared_off;
    uint64_t shared_end;
    copy->shared_len = 0;
    copy->written_len = 0;
    copy->zeros_len = 0;
    copy->written_zeros_len = 0;
    shareable_range(&work, &shared_off, &shared_end);
    /* Where it would be too much, there may be zeros in it, which are not stored. */
    if (shared_off < shared_end && fits(&work, shared_end - shared_off) && share(&work, shared_off, shared_end)) {
        int result = range_copy(&work, copy->source_off, shared_off);
        return result == 0 ? range_copy(&work, shared_end, end) : result;
    }
    return range_copy(&work, copy->source_off, end);
}
