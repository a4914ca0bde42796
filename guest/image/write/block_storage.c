/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/write/block_storage.h"

#include "base/checked.h"

bool block_storage_make(struct block_storage *storage, struct image *image, uint64_t block_len, uint64_t metadata_end,
                        struct error *error)
{
    *storage = (struct block_storage){
        .file = image->file,
        .file_len = image->file->len,
        .block_len = block_len,
        .first_off = metadata_end,
        .end_off = metadata_end,
    };
    return bit_set_make(&storage->used, image->environment->arena, image->file->len / block_len + 2, error);
}

static bool fail(const struct block_storage *storage, uint64_t block, uint64_t off, const char *why,
                 struct error *error)
{
    return error_set(
        error, ERROR_MALFORMED, storage->file->name,
        "the image is damaged (block %llu of the disk, at offset 0x%llx of the file, %s), and is not changed",
        (unsigned long long)block, (unsigned long long)off, why);
}

static bool overlaps(const struct block_storage_area *area, uint64_t off, uint64_t end_off)
{
    return off < area->end_off && area->off < end_off;
}

static bool fail_area(const struct block_storage *storage, uint64_t off, const char *why, struct error *error)
{
    return error_set(error, ERROR_MALFORMED, storage->file->name,
                     "the image is damaged (metadata at offset 0x%llx of the file %s), and is not changed",
                     (unsigned long long)off, why);
}

bool block_storage_keep(struct block_storage *storage, uint64_t off, uint64_t len, struct error *error)
{
    uint64_t end_off = off + len;
    if (!range_is_within(off, len, storage->file_len)) {
        return fail_area(storage, off, "is behind its end", error);
    }
    for (uint32_t i = 0; i < storage->area_count; i++) {
        if (overlaps(&storage->areas[i], off, end_off)) {
            return fail_area(storage, off, "overlaps other metadata", error);
        }
    }
    struct block_storage_area *last = storage->area_count > 0 ? &storage->areas[storage->area_count - 1] : NULL;
    if (last != NULL && last->end_off == off) {
        last->end_off = end_off;
    } else if (storage->area_count < BLOCK_STORAGE_AREA_MAX) {
        storage->areas[storage->area_count++] = (struct block_storage_area){off, end_off};
    } else {
        return error_set(error, ERROR_UNSUPPORTED, storage->file->name,
                         "the image's metadata is in more than %u places: such images are not changed",
                         BLOCK_STORAGE_AREA_MAX);
    }
    storage->end_off = max_u64(storage->end_off, end_off);
    return true;
}

uint64_t block_storage_next_off(const struct block_storage *storage)
{
    uint64_t past_len = storage->has_first ? (storage->end_off - storage->first_off) % storage->block_len
                                           : storage->end_off % storage->block_len;
    return storage->end_off + (past_len == 0 ? 0 : storage->block_len - past_len);
}

static bool is_in_area(const struct block_storage *storage, uint64_t off)
{
    for (uint32_t i = 0; i < storage->area_count; i++) {
        if (overlaps(&storage->areas[i], off, off + storage->block_len)) {
            return true;
        }
    }
    return false;
}

bool block_storage_add(struct block_storage *storage, uint64_t block, uint64_t off, struct error *error)
{
    if (off >= storage->file_len) {
        return fail(storage, block, off, "is behind the end of the file", error);
    }
    if (!storage->has_first &&
        off >= storage->first_off) { /* the same place in a block, as early as there may be one */
        storage->first_off += (off - storage->first_off) % storage->block_len;
        storage->has_first = true;
    }
    if (off < storage->first_off || is_in_area(storage, off)) {
        return fail(storage, block, off, "overlaps the metadata", error);
    }
    if ((off - storage->first_off) % storage->block_len != 0) {
        return fail(storage, block, off, "may overlap another one", error);
    }
    if (bit_set_add(&storage->used, (off - storage->first_off) / storage->block_len)) {
        return fail(storage, block, off, "is another one, too", error);
    }
    storage->end_off = max_u64(storage->end_off, off + storage->block_len);
    return true;
}
