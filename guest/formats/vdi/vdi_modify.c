/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image that exists, changed in place. A block gets the lowest number that nobody has. The header's count goes to
 * the file before the entries: who counts on it, as QEMU does, never gives a block's number to another one.
 */
#include "guest/formats/vdi/vdi_modify.h"

#include "base/checked.h"

static struct vdi_modify *modify_of(struct block_modify *blocks)
{
    return (struct vdi_modify *)blocks;
}

static uint64_t block_off(const struct vdi *vdi, uint64_t number)
{
    return vdi->header.data_off + number * VDI_BLOCK_LEN;
}

static bool vdi_find(struct block_modify *blocks, uint64_t block, struct block_modify_place *ret_place,
                     struct error *error)
{
    const struct vdi *vdi = modify_of(blocks)->vdi;
    uint64_t entry;
    RETURN_IF_FAILED(table_changes_get(&blocks->changes, &vdi->map, block, &entry, error));
    *ret_place = entry < VDI_ENTRY_NONE_MIN ? (struct block_modify_place){BLOCK_STORED, block_off(vdi, entry)}
                                            : (struct block_modify_place){.kind = BLOCK_NONE};
    return true;
}

bool vdi_modify_has_free(struct vdi_modify *modify)
{
    while (modify->next < modify->used.count && bit_set_has(&modify->used, modify->next)) { /* ends: the set does */
        modify->next++;
    }
    return modify->next < modify->used.count;
}

bool vdi_modify_take(struct vdi_modify *modify, uint64_t block, uint64_t *ret_off, struct error *error)
{
    struct block_modify *blocks = &modify->blocks;
    if (!vdi_modify_has_free(modify)) {
        return error_set(error, ERROR_GUEST, blocks->target.file->name, "no number is left for a block");
    }
    RETURN_IF_FAILED(table_changes_set(&blocks->changes, &modify->vdi->map, block, modify->next, error));
    (void)bit_set_add(&modify->used, modify->next);
    *ret_off = block_off(modify->vdi, modify->next);
    return true;
}

/* No block has a number twice, so there are as many as blocks. */
static bool vdi_place(struct block_modify *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    modify_of(blocks)->allocated_count++;
    return vdi_modify_take(modify_of(blocks), block, ret_off, error);
}

bool vdi_modify_write_count(struct vdi_modify *modify, struct error *error)
{
    struct block_modify *blocks = &modify->blocks;
    uint8_t *head = blocks->bounce; /* free: nothing is under way */
    if (modify->written_count == modify->allocated_count) {
        return true;
    }
    RETURN_IF_FAILED(target_settle(&blocks->target, error));
    RETURN_IF_FAILED(cache_read(blocks->changes.cache, blocks->target.file, 0, head, VDI_HEADER_LEN, error));
    vdi_header_set_allocated(head, modify->allocated_count);
    RETURN_IF_FAILED(table_changes_store(&blocks->changes, 0, head, VDI_HEADER_LEN, error));
    modify->written_count = modify->allocated_count;
    ((struct vdi *)blocks->image->state)->header.allocated_count = modify->allocated_count; /* for a check */
    return block_modify_flush(blocks, error);
}

static bool before_entries(struct block_modify *blocks, struct error *error)
{
    return vdi_modify_write_count(modify_of(blocks), error);
}

static const struct block_modify_format vdi_modify_format = {
    .find = vdi_find,
    .place = vdi_place,
    .before_entries = before_entries,
};

/* What a check finds makes a change dangerous, but for the header's count, which is set right by the first one. */
static bool look_at_map(struct vdi_modify *modify, struct image *image, struct error *error)
{
    const struct vdi *vdi = modify->vdi;
    uint64_t step;
    for (uint64_t block = 0; block < vdi->map.count; block += step) { /* ends: step is 1 at least */
        uint64_t entry;
        RETURN_IF_FAILED(block_table_run(image->environment->cache, &vdi->map, block, vdi->map.count - block, 0, &entry,
                                         &step, error));
        if (entry >= VDI_ENTRY_NONE_MIN) {
            continue;
        }
        if (entry >= vdi->header.block_count || step > 1 || bit_set_add(&modify->used, entry)) {
            return error_set(error, ERROR_MALFORMED, image->file->name,
                             "the image is damaged (block %llu has the number %llu, which %s), and is not changed "
                             "before 'check -r all' has repaired it",
                             (unsigned long long)block, (unsigned long long)entry,
                             entry >= vdi->header.block_count ? "no block can have" : "another one has, too");
        }
        modify->allocated_count++;
    }
    return true;
}

static bool check_places(const struct image *image, const struct vdi *vdi, struct error *error)
{
    uint64_t map_end = vdi->header.map_off + vdi->map.count * block_table_word_len(vdi->map.word);
    return (vdi->header.map_off >= VDI_HEADER_LEN && vdi->header.data_off >= map_end) ||
           error_set(error, ERROR_MALFORMED, image->file->name,
                     "the image is damaged (its blocks, at offset 0x%x, overlap its header or its block map), and is "
                     "not changed",
                     vdi->header.data_off);
}

bool vdi_modify_make(struct image *image, struct vdi_modify **ret_modify, struct error *error)
{
    const struct vdi *vdi = vdi_of(image);
    struct vdi_modify *modify = arena_allocate(image->environment->arena, sizeof(*modify), _Alignof(struct vdi_modify));
    RETURN_IF_FAILED(check_places(image, vdi, error));
    if (modify == NULL) {
        return error_set(error, ERROR_LIMIT, image->file->name, "no memory is left to write to the image");
    }
    *modify = (struct vdi_modify){.vdi = vdi, .written_count = vdi->header.allocated_count};
    RETURN_IF_FAILED(bit_set_make(&modify->used, image->environment->arena, vdi->header.block_count, error));
    /* Blocks have numbers: nothing is appended. */
    RETURN_IF_FAILED(block_modify_make(&modify->blocks, image, &vdi_modify_format, VDI_BLOCK_LEN, image->file->len,
                                       VDI_HEADER_LEN, error));
    *ret_modify = modify;
    return true;
}

bool vdi_open_target(struct image *image, struct target **ret_target, struct error *error)
{
    struct vdi_modify *modify;
    const struct block_table *map = &vdi_of(image)->map;
    if (block_table_stored_count(map) < map->count) {
        return error_set(error, ERROR_MALFORMED, image->file->name,
                         "the image is damaged (the block map ends behind the end of the file), and is not changed "
                         "before 'check -r all' has repaired it");
    }
    RETURN_IF_FAILED(vdi_modify_make(image, &modify, error) && look_at_map(modify, image, error));
    *ret_target = &modify->blocks.target;
    return true;
}
