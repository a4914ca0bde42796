/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/write/block_modify.h"

#include <string.h>

#include "base/checked.h"
#include "base/units.h"
#include "guest/image/image.h"
#include "guest/image/write/cipher_writer.h"

/* How the file grows (target_grow_to), bytes. */
#define GROWTH_LEN_MIN (16ull << 20)
#define GROWTH_LEN_MAX (1ull << 30)
/* Of one zeroing: so that progress is seen and a job's end is heard. */
#define ZEROING_LEN_MAX (1ull << 30)

/* What is written: memory, or a part of another file. */
struct source {
    const uint8_t *data; /* NULL: a file */
    struct file *file;
    uint64_t file_off;
};

/* The file reads as zeros there, as nobody has written to it. */
static bool is_fresh(const struct block_modify *modify, uint64_t off)
{
    return modify->target.file->is_resizable && off >= modify->fresh_off;
}

/* The disk does: what is encrypted as zeros is none in the file. */
static bool has_fresh_zeros(const struct block_modify *modify, uint64_t off)
{
    return modify->cipher == NULL && is_fresh(modify, off);
}

uint64_t block_modify_count(const struct block_modify *modify)
{
    uint64_t len = modify->target.virtual_len;
    return divide_up(len, modify->block_len);
}

bool block_modify_begin(struct block_modify *modify, struct error *error)
{
    if (modify->has_begun) {
        return true;
    }
    modify->has_begun = true;
    if (modify->tail_len > 0) { /* a file that has lost its tail needs room for it */
        modify->told_len = max_u64(modify->told_len, modify->next_off + modify->tail_len);
    }
    return modify->format->begin == NULL || modify->format->begin(modify, error);
}

bool block_modify_grow_to(struct block_modify *modify, uint64_t end_off, struct error *error)
{
    uint64_t old_len = modify->target.file->len;
    RETURN_IF_FAILED(target_grow_to(&modify->target, end_off, GROWTH_LEN_MIN, GROWTH_LEN_MAX, error));
    modify->kept_len = max_u64(modify->kept_len, end_off);
    return modify->target.file->len == old_len || modify->format->has_grown == NULL ||
           modify->format->has_grown(modify, error);
}

bool block_modify_append(struct block_modify *modify, uint64_t len, uint64_t alignment, uint64_t *ret_off,
                         struct error *error)
{
    uint64_t off = (modify->next_off + alignment - 1) / alignment * alignment;
    uint64_t end_off;
    if (!checked_add(off, len, &end_off) || end_off > FILE_END_MAX - modify->tail_len) {
        return error_set(error, ERROR_UNSUPPORTED, modify->target.file->name, "the image is longer than a file can be");
    }
    RETURN_IF_FAILED(block_modify_grow_to(modify, end_off + modify->tail_len, error));
    modify->next_off = end_off;
    *ret_off = off;
    return true;
}

bool block_modify_append_table(struct block_modify *modify, uint64_t len, uint64_t alignment, uint64_t *ret_off,
                               struct error *error)
{
    RETURN_IF_FAILED(block_modify_append(modify, len, alignment, ret_off, error));
    for (uint64_t done_len = 0; !is_fresh(modify, *ret_off) && done_len < len; done_len += BLOCK_MODIFY_BOUNCE_LEN) {
        uint32_t part_len = (uint32_t)min_u64(len - done_len, BLOCK_MODIFY_BOUNCE_LEN);
        RETURN_IF_FAILED(target_settle(&modify->target, error));
        memset(modify->bounce, 0, part_len);
        RETURN_IF_FAILED(table_changes_store(&modify->changes, *ret_off + done_len, modify->bounce, part_len, error));
    }
    modify->is_unsafe = true;
    return true;
}

bool block_modify_put_zeros(struct block_modify *modify, uint64_t off, uint64_t len, bool may_unmap,
                            struct error *error)
{
    struct target *target = &modify->target;
    RETURN_IF_FAILED(target_settle(target, error));
    while (len > 0) { /* ends: each round goes on by a part */
        uint64_t part_len = min_u64(len, ZEROING_LEN_MAX);
        struct io_request request = target_own_request(target);
        io_write_zeroes(target->io, &request, target->file, off, part_len, may_unmap);
        RETURN_IF_FAILED(target_settle(target, error));
        off += part_len;
        len -= part_len;
    }
    modify->is_unsafe = true;
    return true;
}

bool block_modify_copy_within(struct block_modify *modify, uint64_t from_off, uint64_t to_off, uint64_t len,
                              struct error *error)
{
    for (uint64_t done_len = 0; done_len < len; done_len += BLOCK_MODIFY_BOUNCE_LEN) {
        uint32_t part_len = (uint32_t)min_u64(len - done_len, BLOCK_MODIFY_BOUNCE_LEN);
        RETURN_IF_FAILED(target_settle(&modify->target, error) &&
                         file_read(modify->target.file, from_off + done_len, modify->bounce, part_len, error) &&
                         table_changes_store(&modify->changes, to_off + done_len, modify->bounce, part_len, error));
    }
    modify->is_unsafe = true;
    return true;
}

/* Starts a request that has been counted: the bytes of the disk at voff (NULL: zeros) go to `off` of the file. */
static bool store(struct block_modify *modify, struct io_request *request, uint64_t off, uint64_t voff,
                  const uint8_t *data, uint64_t len, struct error *error)
{
    struct target *target = &modify->target;
    if (modify->cipher == NULL) {
        io_write(target->io, request, target->file, off, data, len);
        return true;
    }
    if (!cipher_write(modify->cipher, request, target->file, off, modify->disk_off + voff, data, len, error)) {
        target->pending--;
        return false;
    }
    return true;
}

/* Zeros of the disk, in storage. */
static bool store_zeros(struct block_modify *modify, uint64_t off, uint64_t voff, uint64_t len, struct error *error)
{
    struct target *target = &modify->target;
    if (modify->cipher == NULL) {
        return block_modify_put_zeros(modify, off, len, true, error);
    }
    RETURN_IF_FAILED(target_settle(target, error));
    while (len > 0) { /* ends: each round goes on by a part */
        uint64_t part_len = min_u64(len, CIPHER_WRITE_LEN_MAX);
        struct io_request request = target_own_request(target);
        RETURN_IF_FAILED(store(modify, &request, off, voff, NULL, part_len, error));
        RETURN_IF_FAILED(target_settle(target, error));
        off += part_len;
        voff += part_len;
        len -= part_len;
    }
    modify->is_unsafe = true;
    return true;
}

bool block_modify_flush(struct block_modify *modify, struct error *error)
{
    modify->is_unsafe = false;
    return target_flush_file(&modify->target, modify->target.file, error);
}

void block_modify_tell(struct block_modify *modify)
{
    modify->told_len = max_u64(modify->told_len, modify->next_off + modify->tail_len);
}

bool block_modify_checkpoint(struct block_modify *modify, struct error *error)
{
    RETURN_IF_FAILED(target_settle(&modify->target, error));
    if (modify->changes.count == 0) {
        return true;
    }
    RETURN_IF_FAILED(!modify->is_unsafe || block_modify_flush(modify, error));
    RETURN_IF_FAILED(modify->format->before_entries == NULL || modify->format->before_entries(modify, error));
    block_modify_tell(modify);
    RETURN_IF_FAILED(table_changes_write(&modify->changes, error));
    modify->is_unsafe = true;
    return true;
}

static bool find(struct block_modify *modify, uint64_t block, struct block_modify_place *ret_place, struct error *error)
{
    struct block_modify_place place;
    RETURN_IF_FAILED(modify->format->find(modify, block, &place, error));
    if (place.kind == BLOCK_STORED && (place.off % SECTOR_LEN != 0 || place.off >= modify->target.file->len)) {
        return error_set(error, ERROR_MALFORMED, modify->target.file->name,
                         "block %llu of the disk is at offset 0x%llx, where it cannot be changed",
                         (unsigned long long)block, (unsigned long long)place.off);
    }
    *ret_place = place;
    return true;
}

/* What block `block`, which has no storage, reads as: zeros only. */
static bool is_zero(const struct block_modify *modify, const struct block_modify_place *place)
{
    return place->kind == BLOCK_ZERO || (place->kind == BLOCK_NONE && modify->image->backing == NULL);
}

/* What the disk has at [voff, voff + len), of a block that had no storage, goes to `off` of the file. */
static bool copy_old(struct block_modify *modify, const struct block_modify_place *old, uint64_t voff, uint64_t len,
                     uint64_t off, struct error *error)
{
    struct target *target = &modify->target;
    if (is_zero(modify, old)) {
        return len == 0 || has_fresh_zeros(modify, off) || store_zeros(modify, off, voff, len, error);
    }
    struct image *image = old->kind == BLOCK_NONE ? modify->image->backing : modify->image;
    while (len > 0) { /* ends: each round goes on by a part */
        uint64_t part_len = min_u64(len, BLOCK_MODIFY_BOUNCE_LEN);
        RETURN_IF_FAILED(target_settle(target, error));
        RETURN_IF_FAILED(
            image_read(image, modify->disk_off + voff, modify->bounce, part_len, &modify->read_memory, error));
        struct io_request request = target_own_request(target);
        RETURN_IF_FAILED(store(modify, &request, off, voff, modify->bounce, part_len, error));
        RETURN_IF_FAILED(target_settle(target, error));
        voff += part_len;
        off += part_len;
        len -= part_len;
    }
    return true;
}

/* Gives a block storage, in which everything but [start, end) of it is as it was on the disk. */
static bool give_storage(struct block_modify *modify, uint64_t block, const struct block_modify_place *old,
                         uint64_t start, uint64_t end, uint64_t *ret_off, struct error *error)
{
    uint64_t off;
    uint64_t voff = block * modify->block_len;
    RETURN_IF_FAILED(modify->format->place(modify, block, &off, error));
    RETURN_IF_FAILED(block_modify_grow_to(modify, off + modify->block_len, error));
    RETURN_IF_FAILED(copy_old(modify, old, voff, start, off, error));
    /* Behind the disk's end is nothing but zeros; image_read knows. */
    RETURN_IF_FAILED(copy_old(modify, old, voff + end, modify->block_len - end, off + end, error));
    *ret_off = off;
    return true;
}

/* A block is about to be written where it is, up to `end` of it. */
static bool touch(struct block_modify *modify, uint64_t block, uint64_t off, uint64_t end, struct error *error)
{
    return block_modify_grow_to(modify, off + end, error) &&
           (modify->format->touch == NULL || modify->format->touch(modify, block, off, error));
}

/* How much of [voff, voff + len) lies in block `block`. */
static uint64_t part_in_block(const struct block_modify *modify, uint64_t block, uint64_t voff, uint64_t len)
{
    return min_u64(len, (block + 1) * modify->block_len - voff);
}

/* A place for the start of [voff, voff + len), as far as it goes in one piece. */
static bool place_run(struct block_modify *modify, uint64_t voff, uint64_t len, uint64_t *ret_off, uint64_t *ret_len,
                      struct error *error)
{
    uint64_t block = voff / modify->block_len;
    uint64_t in_block = voff % modify->block_len;
    uint64_t done_len = 0;
    uint64_t run_off = 0;
    for (uint32_t i = 0; i < BLOCK_MODIFY_RUN_MAX && done_len < len; i++, block++, in_block = 0) {
        struct block_modify_place place;
        uint64_t part_len = part_in_block(modify, block, voff + done_len, len - done_len);
        RETURN_IF_FAILED(find(modify, block, &place, error));
        if (place.kind != BLOCK_STORED) {
            if (i > 0 && part_len < modify->block_len && !is_zero(modify, &place)) {
                break; /* what is around it is read first: for a request of its own */
            }
            RETURN_IF_FAILED(give_storage(modify, block, &place, in_block, in_block + part_len, &place.off, error));
        } else {
            RETURN_IF_FAILED(touch(modify, block, place.off, in_block + part_len, error));
        }
        if (i == 0) {
            run_off = place.off + in_block;
        } else if (place.off != run_off + done_len) {
            break; /* it has its place, and the caller comes with it next */
        }
        done_len += part_len;
    }
    *ret_off = run_off;
    *ret_len = done_len;
    return true;
}

static bool write_source(struct block_modify *modify, struct target_write *write, uint64_t voff,
                         const struct source *source, uint64_t len, uint64_t *ret_len, struct error *error)
{
    uint64_t off;
    struct target *target = &modify->target;
    RETURN_IF_FAILED(target_check(target, error) && block_modify_begin(modify, error));
    if (table_changes_room(&modify->changes) < BLOCK_MODIFY_RUN_MAX * BLOCK_MODIFY_WORDS_MAX) {
        RETURN_IF_FAILED(block_modify_checkpoint(modify, error));
    }
    len = modify->cipher != NULL ? min_u64(len, CIPHER_WRITE_LEN_MAX) : len;
    RETURN_IF_FAILED(place_run(modify, voff, len, &off, ret_len, error));
    target_begin_write(target, write);
    modify->is_unsafe = true;
    if (source->data != NULL) {
        return store(modify, &write->request, off, voff, source->data, *ret_len, error);
    }
    io_copy(target->io, &write->request, source->file, source->file_off, target->file, off, *ret_len, 0);
    return true;
}

static bool modify_write(struct target *target, struct target_write *write, uint64_t voff, const void *data,
                         uint64_t len, uint64_t *ret_len, struct error *error)
{
    struct source source = {.data = data};
    return write_source(block_modify_of(target), write, voff, &source, len, ret_len, error);
}

static bool modify_copy(struct target *target, struct target_write *write, uint64_t voff, struct file *file,
                        uint64_t file_off, uint64_t len, uint32_t zero_len, uint64_t *ret_len, struct error *error)
{
    struct source source = {.file = file, .file_off = file_off};
    (void)zero_len; /* somebody has looked before: detects_zeros is not set */
    return write_source(block_modify_of(target), write, voff, &source, len, ret_len, error);
}

/* The part [voff, voff + len) of one block. */
static bool zero_part(struct block_modify *modify, uint64_t block, uint64_t voff, uint64_t len, struct error *error)
{
    struct block_modify_place place;
    uint64_t in_block = voff - block * modify->block_len;
    bool is_whole = in_block == 0 && (len == modify->block_len || voff + len == modify->target.virtual_len);
    bool has_backing = modify->target.has_backing;
    RETURN_IF_FAILED(find(modify, block, &place, error));
    if (place.kind == BLOCK_ZERO || (place.kind == BLOCK_NONE && !has_backing)) {
        return true;
    }
    RETURN_IF_FAILED(block_modify_begin(modify, error));
    if (table_changes_room(&modify->changes) < BLOCK_MODIFY_WORDS_MAX) {
        RETURN_IF_FAILED(block_modify_checkpoint(modify, error));
    }
    if (place.kind != BLOCK_STORED && is_whole && modify->format->set_zero != NULL) {
        return modify->format->set_zero(modify, block, error);
    }
    if (place.kind != BLOCK_STORED) {
        RETURN_IF_FAILED(give_storage(modify, block, &place, in_block, in_block + len, &place.off, error));
        if (has_fresh_zeros(modify, place.off)) {
            return true;
        }
    } else {
        RETURN_IF_FAILED(touch(modify, block, place.off, in_block + len, error));
    }
    return store_zeros(modify, place.off + in_block, voff, len, error);
}

static bool modify_zero(struct target *target, uint64_t voff, uint64_t len, struct error *error)
{
    struct block_modify *modify = block_modify_of(target);
    uint64_t end = voff + len;
    RETURN_IF_FAILED(target_check(target, error));
    while (voff < end) { /* ends: each round goes on to the next block */
        uint64_t block = voff / modify->block_len;
        uint64_t part_len = part_in_block(modify, block, voff, end - voff);
        RETURN_IF_FAILED(zero_part(modify, block, voff, part_len, error));
        voff += part_len;
    }
    return true;
}

bool block_modify_clear_entries(struct block_modify *modify, const struct block_table *table, uint64_t first,
                                uint64_t end, uint64_t value, struct error *error)
{
    uint64_t step;
    RETURN_IF_FAILED(block_modify_begin(modify, error));
    for (uint64_t i = first; i < end; i += step) { /* ends: step is 1 at least */
        uint64_t entry;
        RETURN_IF_FAILED(block_table_run(modify->changes.cache, table, i, end - i, 0, &entry, &step, error));
        if (entry == value) {
            continue;
        }
        step = 1;
        if (table_changes_room(&modify->changes) == 0) {
            RETURN_IF_FAILED(block_modify_checkpoint(modify, error));
        }
        RETURN_IF_FAILED(table_changes_set(&modify->changes, table, i, value, error));
    }
    return true;
}

bool block_modify_clear_table(struct block_modify *modify, const struct block_table *table, struct error *error)
{
    return block_modify_clear_entries(modify, table, 0, table->count, 0, error);
}

bool block_modify_clear_end(struct block_modify *modify, uint64_t virtual_len, struct error *error)
{
    struct target *target = &modify->target;
    const struct image *image = modify->image;
    uint64_t old_len = target->virtual_len;
    uint64_t in_block = old_len % modify->block_len;
    uint64_t end = in_block == 0 ? old_len : min_u64(virtual_len, old_len - in_block + modify->block_len);
    if (target->has_backing) { /* one that could not be opened may have anything */
        uint64_t behind_len = image->backing == NULL ? UINT64_MAX : image->backing->virtual_len;
        end = max_u64(end, min_u64(virtual_len, behind_len - min_u64(behind_len, modify->disk_off)));
    }
    target->virtual_len = virtual_len;
    return (end <= old_len || modify_zero(target, old_len, end - old_len, error)) &&
           block_modify_checkpoint(modify, error) && block_modify_flush(modify, error);
}

bool block_modify_finish(struct target *target, bool sync, struct error *error)
{
    struct block_modify *modify = block_modify_of(target);
    struct file *file = target->file;
    RETURN_IF_FAILED(block_modify_checkpoint(modify, error));
    if (modify->has_begun && modify->format->end != NULL) {
        RETURN_IF_FAILED(modify->format->end(modify, error));
    }
    if (file->is_resizable && file->len > modify->kept_len) {
        RETURN_IF_FAILED(target_set_len(target, file, modify->kept_len, error));
    }
    return sync ? block_modify_flush(modify, error) : target_settle(target, error);
}

static bool modify_flush(struct target *target, struct error *error)
{
    struct block_modify *modify = block_modify_of(target);
    return block_modify_checkpoint(modify, error) && block_modify_flush(modify, error);
}

static void modify_abandon(struct target *target)
{
    struct block_modify *modify = block_modify_of(target);
    struct file *file = target->file;
    struct error ignored = {0};
    bool is_ready = target_revive(target, &ignored) &&
                    (modify->format->abandon == NULL || modify->format->abandon(modify, &ignored));
    if (is_ready && file->is_resizable && file->len > modify->told_len) {
        (void)!target_set_len(target, file, modify->told_len, &ignored);
    }
}

const struct target_operations block_modify_operations = {
    .write = modify_write,
    .copy = modify_copy,
    .zero = modify_zero,
    .finish = block_modify_finish,
    .flush = modify_flush,
    .abandon = modify_abandon,
};

bool block_modify_make(struct block_modify *modify, struct image *image, const struct block_modify_format *format,
                       uint64_t block_len, uint64_t next_off, uint32_t page_len, struct error *error)
{
    struct file *file = image->file;
    bool has_backing = image->backing != NULL || image->backing_name.is_set;
    *modify = (struct block_modify){
        .target =
            {
                .operations = &block_modify_operations,
                .file = file,
                .io = image->environment->io,
                .virtual_len = image->virtual_len,
                .unit_len = has_backing && is_power_of_two(block_len)
                                ? (uint32_t)min_u64(block_len, FORMAT_CLUSTER_LEN_MAX)
                                : SECTOR_LEN,
                .takes_copies = file->takes_copies && image->cipher == NULL,
                .has_backing = has_backing,
            },
        .format = format,
        .image = image,
        .block_len = block_len,
        .next_off = next_off,
        .kept_len = file->len,
        .told_len = file->len,
        .fresh_off = file->len,
        .bounce = arena_allocate(image->environment->arena, BLOCK_MODIFY_BOUNCE_LEN, 4096),
    };
    if (modify->bounce == NULL) {
        return error_set(error, ERROR_LIMIT, file->name, "no memory is left to write to the image");
    }
    RETURN_IF_FAILED(image->cipher == NULL || cipher_writer_make(image->environment->arena, image->environment->io,
                                                                 image->cipher, &modify->cipher, error));
    return table_changes_make(&modify->changes, &modify->target, image, page_len, error);
}
