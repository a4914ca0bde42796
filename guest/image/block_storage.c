/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/block_storage.h"

#include "base/checked.h"

bool block_storage_make(struct block_storage *storage, struct image *image, uint64_t block_len, uint64_t metadata_end,
                        struct error *error)
{
    *storage = (struct block_storage){
        .file = image->file,
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

bool block_storage_add(struct block_storage *storage, uint64_t block, uint64_t off, struct error *error)
{
    if (off >= storage->file->len) {
        return fail(storage, block, off, "is behind the end of the file", error);
    }
    if (!storage->has_first &&
        off >= storage->first_off) { /* the same place in a block, as early as there may be one */
        storage->first_off += (off - storage->first_off) % storage->block_len;
        storage->has_first = true;
    }
    if (off < storage->first_off) {
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
