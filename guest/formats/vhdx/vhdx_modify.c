/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image that exists, changed in place: blocks go behind all others, and their entries through the log (2.3). Each
 * checkpoint is an entry of the log, or several, one after the other at the log's start: an entry is on stable storage
 * before its pages are written, and its pages are before the next one takes its place. A crash leaves nothing to
 * replay, or one entry.
 *
 * A block of a differencing disk may have some of its sectors only. The first write to it gives it all of them, those
 * of the parent before its entry says so.
 */
#include "guest/formats/vhdx/vhdx_modify.h"

#include <string.h>

#include "base/checked.h"
#include "guest/crypto/md5.h"
#include "guest/image/bit_set.h"
#include "guest/image/uuid.h"
#include "guest/image/write/block_sectors.h"

static struct vhdx_modify *modify_of(struct block_modify *blocks)
{
    return (struct vhdx_modify *)blocks;
}

static bool vhdx_find(struct block_modify *blocks, uint64_t block, struct block_modify_place *ret_place,
                      struct error *error)
{
    const struct vhdx *vhdx = modify_of(blocks)->vhdx;
    uint64_t entry;
    RETURN_IF_FAILED(table_changes_get(&blocks->changes, &vhdx->table, vhdx_entry_index(vhdx, block), &entry, error));
    uint32_t state = entry & VHDX_STATE_MASK;
    *ret_place = (struct block_modify_place){BLOCK_STORED, entry & VHDX_OFF_MASK};
    if (state != VHDX_PRESENT && (state != VHDX_PARTIALLY_PRESENT || !vhdx->metadata.has_parent)) {
        ret_place->kind = vhdx->metadata.has_parent && state != VHDX_NOT_PRESENT ? BLOCK_ZERO : BLOCK_NONE;
    }
    return true;
}

/* A block that is partially present is wholly so from now on; its bits do not count then, and stay (2.5.1.1). */
static bool vhdx_touch(struct block_modify *blocks, uint64_t block, uint64_t off, struct error *error)
{
    const struct vhdx *vhdx = modify_of(blocks)->vhdx;
    uint64_t index = vhdx_entry_index(vhdx, block);
    uint64_t sectors_per_block = blocks->block_len / vhdx->metadata.sector_len;
    uint64_t entry;
    uint64_t bitmap;
    RETURN_IF_FAILED(table_changes_get(&blocks->changes, &vhdx->table, index, &entry, error));
    if ((entry & VHDX_STATE_MASK) != VHDX_PARTIALLY_PRESENT) {
        return true;
    }
    RETURN_IF_FAILED(table_changes_get(&blocks->changes, &vhdx->table, vhdx_bitmap_index(vhdx, block), &bitmap, error));
    if ((bitmap & VHDX_STATE_MASK) != VHDX_PRESENT) {
        return error_set(error, ERROR_MALFORMED, blocks->target.file->name,
                         "block allocation table: block %llu has no bitmap of its sectors", (unsigned long long)block);
    }
    const struct block_sectors sectors = {
        .bitmap_off = bitmap & VHDX_OFF_MASK,
        .order = SECTOR_BITMAP_LOW_FIRST,
        .first_bit = block % vhdx->chunk_blocks * sectors_per_block,
        .sector_len = vhdx->metadata.sector_len,
    };
    return block_sectors_complete(blocks, &sectors, block, off, error) &&
           table_changes_set(&blocks->changes, &vhdx->table, index, off | VHDX_PRESENT, error);
}

static bool vhdx_place(struct block_modify *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    const struct vhdx *vhdx = modify_of(blocks)->vhdx;
    return block_modify_append(blocks, blocks->block_len, VHDX_ALIGNMENT, ret_off, error) &&
           table_changes_set(&blocks->changes, &vhdx->table, vhdx_entry_index(vhdx, block), *ret_off | VHDX_PRESENT,
                             error);
}

/* Another identifier, which no other content of the file has had: of the header as it was, and of what it is for. */
static struct vhdx_guid make_id(const uint8_t header[VHDX_HEADER_LEN], char purpose)
{
    uint8_t digest[MD5_LEN];
    struct vhdx_guid id;
    struct md5 md5;
    md5_init(&md5);
    md5_add(&md5, (struct span){header, VHDX_HEADER_LEN});
    md5_add(&md5, (struct span){(const uint8_t *)&purpose, 1});
    md5_end(&md5, digest);
    uuid_make(digest, UUID_LITTLE_ENDIAN, id.bytes);
    return id;
}

bool vhdx_write_header(struct vhdx_modify *modify, enum vhdx_header_change change, struct error *error)
{
    struct block_modify *blocks = &modify->blocks;
    struct vhdx_header *header = &modify->vhdx->header;
    uint8_t *bytes = blocks->bounce;
    modify->is_header_written = true;
    RETURN_IF_FAILED(block_modify_flush(blocks, error));
    RETURN_IF_FAILED(
        cache_read(blocks->changes.cache, blocks->target.file, VHDX_HEADER_1_OFF, bytes, VHDX_HEADER_LEN, error));
    bool is_first = vhdx_header_is(header, (struct span){bytes, VHDX_HEADER_LEN});
    if (!is_first) {
        RETURN_IF_FAILED(
            cache_read(blocks->changes.cache, blocks->target.file, VHDX_HEADER_2_OFF, bytes, VHDX_HEADER_LEN, error));
    }
    struct vhdx_guid file_write_id = vhdx_header_file_write_id((struct span){bytes, VHDX_HEADER_LEN});
    if (change == VHDX_HEADER_BEGINS) {
        file_write_id = make_id(bytes, 'f');
        /* What children know the content by. That of a base that is committed to stays what they were made for. */
        if (blocks->image->purpose == IMAGE_TO_CHANGE) {
            header->data_write_id = make_id(bytes, 'd');
        }
        header->log_id = make_id(bytes, 'l');
    } else {
        header->log_id = (struct vhdx_guid){{0}};
    }
    header->sequence++;
    memset(bytes, 0, VHDX_HEADER_LEN);
    vhdx_header_emit(header, &file_write_id, bytes);
    RETURN_IF_FAILED(table_changes_store(&blocks->changes, is_first ? VHDX_HEADER_2_OFF : VHDX_HEADER_1_OFF, bytes,
                                         VHDX_HEADER_LEN, error));
    RETURN_IF_FAILED(block_modify_flush(blocks, error));
    modify->is_header_written = false;
    return true;
}

static bool vhdx_begin(struct block_modify *blocks, struct error *error)
{
    return vhdx_write_header(modify_of(blocks), VHDX_HEADER_BEGINS, error);
}

static bool vhdx_end(struct block_modify *blocks, struct error *error)
{
    return vhdx_write_header(modify_of(blocks), VHDX_HEADER_ENDS, error);
}

/* A log that has nothing to replay is none, and so says nothing of the file's length. */
static bool vhdx_abandon(struct block_modify *blocks, struct error *error)
{
    const struct vhdx_modify *modify = modify_of(blocks);
    bool can_end = modify->batch_count == 0 && !modify->is_header_written;
    return !blocks->has_begun || (can_end && vhdx_end(blocks, error));
}

/* The pages so far: to the log, and then to where they belong. */
static bool write_batch(struct table_changes *changes, struct error *error)
{
    struct vhdx_modify *modify = (struct vhdx_modify *)changes->target;
    struct block_modify *blocks = &modify->blocks;
    const struct vhdx_header *header = &modify->vhdx->header;
    if (modify->batch_count == 0) {
        return true;
    }
    struct vhdx_log_entry entry = {
        .log_id = header->log_id,
        .sequence = ++modify->log_sequence,
        .file_len = blocks->target.file->len,
        .offs = modify->batch_offs,
        .pages = modify->batch,
        .count = modify->batch_count,
    };
    uint32_t len = vhdx_log_entry_emit(&entry, modify->log_entry);
    RETURN_IF_FAILED(table_changes_store(changes, header->log_off, modify->log_entry, len, error) &&
                     block_modify_flush(blocks, error));
    for (uint32_t i = 0; i < modify->batch_count; i++) {
        RETURN_IF_FAILED(table_changes_store(changes, modify->batch_offs[i],
                                             modify->batch + (size_t)i * VHDX_LOG_SECTOR_LEN, VHDX_LOG_SECTOR_LEN,
                                             error));
    }
    RETURN_IF_FAILED(block_modify_flush(blocks, error));
    modify->batch_count = 0;
    return true;
}

static bool log_store(struct table_changes *changes, uint64_t off, const uint8_t *bytes, uint32_t len,
                      struct error *error)
{
    struct vhdx_modify *modify = (struct vhdx_modify *)changes->target;
    for (uint32_t done_len = 0; done_len < len; done_len += VHDX_LOG_SECTOR_LEN) { /* whole pages: regions are MiBs */
        RETURN_IF_FAILED(modify->batch_count < VHDX_BATCH_MAX || write_batch(changes, error));
        modify->batch_offs[modify->batch_count] = off + done_len;
        memcpy(modify->batch + (size_t)modify->batch_count * VHDX_LOG_SECTOR_LEN, bytes + done_len,
               VHDX_LOG_SECTOR_LEN);
        modify->batch_count++;
    }
    return true;
}

bool vhdx_modify_make(struct image *image, struct vhdx_modify **ret_modify, struct error *error)
{
    static const struct block_modify_format format = {
        .find = vhdx_find,
        .place = vhdx_place,
        .touch = vhdx_touch,
        .begin = vhdx_begin,
        .end = vhdx_end,
        .abandon = vhdx_abandon,
    };
    struct arena *arena = image->environment->arena;
    struct vhdx_modify *modify = arena_allocate(arena, sizeof(*modify), _Alignof(struct vhdx_modify));
    uint8_t *pages = arena_allocate(arena, 2 * VHDX_BATCH_LEN + VHDX_LOG_SECTOR_LEN, VHDX_LOG_SECTOR_LEN);
    if (modify == NULL || pages == NULL) {
        return error_set(error, ERROR_LIMIT, image->file->name, "no memory is left to write to the image");
    }
    *modify = (struct vhdx_modify){
        .vhdx = vhdx_of(image),
        .batch = pages,
        .log_entry = pages + VHDX_BATCH_LEN,
    };
    RETURN_IF_FAILED(block_modify_make(&modify->blocks, image, &format, modify->vhdx->metadata.block_len,
                                       image->file->len, VHDX_LOG_SECTOR_LEN, error));
    modify->blocks.changes.store = log_store;
    modify->blocks.changes.store_end = write_batch;
    *ret_modify = modify;
    return true;
}

/* What other programs have in regions of their own stays: it is known where these are, and they are in the file. */
static bool check_other_regions(const struct image *image, struct error *error)
{
    const struct vhdx_regions *regions = &vhdx_of(image)->regions;
    if (regions->other_count > VHDX_REGION_OTHERS_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, image->file->name,
                         "the image has %u regions that are not known, and is not changed with more than %u",
                         regions->other_count, VHDX_REGION_OTHERS_MAX);
    }
    return regions->others_end_off <= round_up(image->file->len, VHDX_MIB) ||
           error_set(error, ERROR_MALFORMED, image->file->name,
                     "the image is damaged (a region ends at 0x%llx, behind the end of the file), and is not changed",
                     (unsigned long long)regions->others_end_off);
}

/* Each MiB of a block, or of a bitmap, is nobody else's; *ret_end_off is behind all that is used. */
static bool look_at_places(struct image *image, uint64_t *ret_end_off, struct error *error)
{
    const struct vhdx *vhdx = vhdx_of(image);
    struct bit_set used;
    uint64_t index = 0;
    uint64_t end_off = max_u64(max_u64(vhdx->regions.table.off + vhdx->regions.table.len,
                                       vhdx->regions.metadata.off + vhdx->regions.metadata.len),
                               vhdx->header.log_off + vhdx->header.log_len);
    end_off = max_u64(end_off, vhdx->regions.others_end_off);
    RETURN_IF_FAILED(bit_set_make(&used, image->environment->arena, image->file->len / VHDX_MIB + 1, error));
    for (;;) { /* ends with the table */
        bool is_end;
        struct vhdx_place place;
        RETURN_IF_FAILED(vhdx_next_place(image, &index, &is_end, &place, error));
        if (is_end) {
            *ret_end_off = end_off;
            return true;
        }
        const char *fault = vhdx_place_fault(vhdx, place.off, place.len);
        if (fault == NULL && !range_is_within(place.off, place.len, round_up(image->file->len, VHDX_MIB))) {
            fault = "is behind the end of the file";
        }
        for (uint64_t at = place.off; fault == NULL && at < place.off + place.len; at += VHDX_MIB) {
            fault = bit_set_add(&used, at / VHDX_MIB) ? "overlaps another one" : NULL;
        }
        if (fault != NULL) {
            return error_set(error, ERROR_MALFORMED, image->file->name,
                             "the image is damaged (entry %llu of the block allocation table, at offset 0x%llx, %s), "
                             "and is not changed",
                             (unsigned long long)place.index, (unsigned long long)place.off, fault);
        }
        end_off = max_u64(end_off, place.off + place.len);
    }
}

bool vhdx_open_target(struct image *image, struct target **ret_target, struct error *error)
{
    struct vhdx_modify *modify;
    const struct vhdx *vhdx = vhdx_of(image);
    if (vhdx->metadata.has_parent && image->backing == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, image->file->name,
                         "a differencing disk is not changed without its parent");
    }
    if (vhdx->header.log_len == 0 || !range_is_within(vhdx->header.log_off, vhdx->header.log_len, image->file->len)) {
        return error_set(error, ERROR_MALFORMED, image->file->name,
                         "the image has no log, and is not changed without one");
    }
    RETURN_IF_FAILED(check_other_regions(image, error) && vhdx_modify_make(image, &modify, error));
    RETURN_IF_FAILED(!vhdx->needs_replay || vhdx_replay(modify, error));
    RETURN_IF_FAILED(look_at_places(image, &modify->blocks.next_off, error));
    *ret_target = &modify->blocks.target;
    return true;
}
