/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image that exists, changed in place: clusters go behind all others. It is not marked as in use meanwhile: what
 * tells of a cluster is written last, and a crash leaves nothing but space at the end.
 */
#include "base/checked.h"
#include "base/text.h"
#include "guest/formats/parallels/parallels.h"
#include "guest/image/write/block_modify.h"
#include "guest/image/write/block_storage.h"
#include "guest/runtime/messages.h"

static bool parallels_find(struct block_modify *blocks, uint64_t block, struct block_modify_place *ret_place,
                           struct error *error)
{
    const struct parallels *parallels = parallels_of(blocks->image);
    uint64_t entry;
    RETURN_IF_FAILED(table_changes_get(&blocks->changes, &parallels->bat, block, &entry, error));
    *ret_place = entry != 0 ? (struct block_modify_place){BLOCK_STORED, entry * parallels->header.unit_len}
                            : (struct block_modify_place){.kind = BLOCK_NONE};
    return true;
}

static bool parallels_place(struct block_modify *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    const struct parallels *parallels = parallels_of(blocks->image);
    uint64_t unit_len = parallels->header.unit_len;
    RETURN_IF_FAILED(block_modify_append(blocks, blocks->block_len, unit_len, ret_off, error));
    return *ret_off / unit_len <= UINT32_MAX
               ? table_changes_set(&blocks->changes, &parallels->bat, block, *ret_off / unit_len, error)
               : error_set(error, ERROR_UNSUPPORTED, blocks->target.file->name, "the image has too many clusters");
}

static bool check_writable(const struct image *image, struct error *error)
{
    const struct parallels *parallels = parallels_of(image);
    const struct parallels_header *header = &parallels->header;
    const char *place = image->file->name;
    if (header->is_in_use) {
        return error_set(error, ERROR_MALFORMED, place,
                         "parallels: Image was not closed correctly; cannot be opened read/write");
    }
    if ((image->virtual_len + header->cluster_len - 1) / header->cluster_len > header->entry_count ||
        block_table_stored_count(&parallels->bat) < parallels->bat.count) {
        return error_set(error, ERROR_MALFORMED, place,
                         "the image is damaged (its table is shorter than the disk), and is not changed");
    }
    return true;
}

/*
 * The format extension says of the disk what is not right any more (dirty bitmaps): the image has none before the first
 * change, and its space is that of clusters. QEMU leaves it there.
 */
static bool parallels_begin(struct block_modify *blocks, struct error *error)
{
    struct parallels *parallels = blocks->image->state;
    if (parallels->header.extension_off == 0) {
        return true;
    }
    RETURN_IF_FAILED(target_settle(&blocks->target, error) && cache_read(blocks->changes.cache, blocks->target.file, 0,
                                                                         blocks->bounce, PARALLELS_SECTOR_LEN, error));
    parallels_header_drop_extension(blocks->bounce);
    parallels->header.extension_off = 0;
    return table_changes_store(&blocks->changes, 0, blocks->bounce, PARALLELS_SECTOR_LEN, error) &&
           block_modify_flush(blocks, error);
}

static void warn_of_extension(const struct image *image)
{
    static instar_GuestMessage message; /* large */
    if (parallels_of(image)->header.extension_off == 0) {
        return;
    }
    message = (instar_GuestMessage){.which_kind = instar_GuestMessage_warning_tag};
    message.kind.warning.device = image->file->device;
    text_copy(message.kind.warning.text, sizeof(message.kind.warning.text),
              "Format Extension ignored in RW mode: it is dropped when the disk changes");
    messages_post(&message);
}

/* Every cluster has a place of its own; *ret_end_off is behind them all. */
static bool look_at_clusters(struct image *image, uint64_t *ret_end_off, struct error *error)
{
    const struct parallels *parallels = parallels_of(image);
    struct block_storage storage;
    uint64_t step;
    uint64_t metadata_end =
        max_u64(PARALLELS_HEADER_LEN + parallels->bat.count * block_table_word_len(parallels->bat.word),
                parallels->header.data_off);
    RETURN_IF_FAILED(block_storage_make(&storage, image, parallels->header.cluster_len, metadata_end, error));
    for (uint64_t i = 0; i < parallels->bat.count; i += step) { /* ends: step is 1 at least */
        uint64_t entry;
        RETURN_IF_FAILED(block_table_run(image->environment->cache, &parallels->bat, i, parallels->bat.count - i, 0,
                                         &entry, &step, error));
        if (entry != 0) {
            step = 1;
            RETURN_IF_FAILED(block_storage_add(&storage, i, entry * parallels->header.unit_len, error));
        }
    }
    *ret_end_off = storage.end_off;
    return true;
}

bool parallels_open_target(struct image *image, struct target **ret_target, struct error *error)
{
    static const struct block_modify_format format = {
        .find = parallels_find,
        .place = parallels_place,
        .begin = parallels_begin,
    };
    struct block_modify *modify =
        arena_allocate(image->environment->arena, sizeof(*modify), _Alignof(struct block_modify));
    uint64_t end_off;
    if (modify == NULL) {
        return error_set(error, ERROR_LIMIT, image->file->name, "no memory is left to write to the image");
    }
    RETURN_IF_FAILED(check_writable(image, error) && look_at_clusters(image, &end_off, error));
    RETURN_IF_FAILED(block_modify_make(modify, image, &format, parallels_of(image)->header.cluster_len, end_off,
                                       PARALLELS_SECTOR_LEN, error));
    warn_of_extension(image);
    *ret_target = &modify->target;
    return true;
}
