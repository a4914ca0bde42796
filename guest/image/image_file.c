/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/image_file.h"

#include "base/checked.h"
#include "guest/image/image_read.h"

/* Of the cache of an image over others: tables of some of it. */
#define CACHE_BLOCK_COUNT 16u

struct image_file {
    struct file file; /* first, see image_file_of */
    struct image *image;
    struct image_read_memory memory;
    uint32_t depth; /* of such files below, with this one */
};

static struct image_file *image_file_of(const struct file *file)
{
    return (struct image_file *)(uintptr_t)file;
}

static bool read_disk(struct file *file, uint64_t off, void *target, size_t len, struct error *error)
{
    struct image_file *image_file = image_file_of(file);
    uint64_t there = off < file->len ? min_u64(len, file->len - off) : 0;
    uint8_t *bytes = target;
    RETURN_IF_FAILED(there == 0 ||
                     image_read(image_file->image, file->start_off + off, bytes, there, &image_file->memory, error));
    memset(bytes + there, 0, len - (size_t)there);
    return true;
}

static bool look_at_disk(struct file *file, uint64_t off, enum file_extent_kind *ret_kind, uint64_t *ret_len,
                         struct error *error)
{
    struct chain_extent found;
    if (off >= file->len) {
        return error_set(error, ERROR_GUEST, file->name, "query of data and holes behind the end");
    }
    RETURN_IF_FAILED(image_status(image_file_of(file)->image, file->start_off + off, file->len - off, &found, error));
    *ret_kind = found.extent.kind == EXTENT_ZERO || found.is_hole ? FILE_HOLE : FILE_DATA;
    *ret_len = found.extent.len;
    return true;
}

static const struct file_source disk_source = {.read = read_disk, .extent = look_at_disk};

/* What its files take, also those that an image consists of besides. UINT64_MAX: not known. */
static uint64_t storage_len(const struct image *within)
{
    const struct file *file = within->file;
    uint64_t len;
    while (file->source != NULL) { /* ends: fewer than IMAGE_FILES_MAX */
        file = image_file_of(file)->image->file;
    }
    return checked_add(file->allocated_len, within->further_allocated_len, &len) ? len : UINT64_MAX;
}

bool image_file_make(struct image *within, struct file **ret_file, struct error *error)
{
    const struct file *below = within->file;
    uint32_t depth = below->source != NULL ? image_file_of(below)->depth + 1 : 1;
    if (depth == IMAGE_FILES_MAX) {
        return error_set(error, ERROR_LIMIT, below->name, "more than %u images within each other", IMAGE_FILES_MAX);
    }
    struct image_file *image_file =
        arena_allocate(within->environment->arena, sizeof(*image_file), _Alignof(struct image_file));
    if (image_file == NULL) {
        return error_set(error, ERROR_LIMIT, below->name, "no memory is left for the image");
    }
    *image_file = (struct image_file){
        .file =
            {
                .name = below->name,
                .device = below->device,
                .len = within->virtual_len,
                .allocated_len = storage_len(within),
                .source = &disk_source,
                .blk = below->blk,
                .state = below->state,
            },
        .image = within,
        .depth = depth,
    };
    RETURN_IF_FAILED(image_read_reserve(within, &image_file->memory, error));
    *ret_file = &image_file->file;
    return true;
}

struct image *image_file_image(const struct file *file)
{
    return file->source != NULL ? image_file_of(file)->image : NULL;
}

struct image_environment *image_file_environment(const struct image *within)
{
    struct arena *arena = within->environment->arena;
    struct image_environment *environment =
        arena_allocate(arena, sizeof(*environment), _Alignof(struct image_environment));
    struct cache *cache = cache_make(arena, CACHE_BLOCK_COUNT);
    if (environment == NULL || cache == NULL) {
        return NULL;
    }
    *environment = *within->environment;
    environment->cache = cache;
    return environment;
}

/* What is at `off` of the file, which lies within it, and no further than `len`: in terms of the disk below. */
static bool map_below(const struct file *file, uint64_t off, uint64_t len, struct chain_extent *ret_found,
                      struct error *error)
{
    uint64_t there = min_u64(len, file->len - off);
    return image_map(image_file_of(file)->image, file->start_off + off, there, ret_found, error);
}

static bool look_for_data(struct chain_extent *chain, struct error *error)
{
    struct extent *extent = &chain->extent;
    struct file *file = extent->file;
    struct chain_extent found;
    if (extent->file_off >= file->len) { /* behind the end: zeros; where that is an error, the format has said so */
        extent->kind = EXTENT_ZERO;
        extent->has_file_off = false;
        return true;
    }
    RETURN_IF_FAILED(map_below(file, extent->file_off, extent->len, &found, error));
    uint64_t shift_len = extent->voff - found.extent.voff;
    *extent = found.extent;
    extent->voff += shift_len;
    extent->cluster_voff += shift_len;
    extent->shift_len += shift_len;
    chain->image = found.image;
    chain->is_hole = found.is_hole;
    chain->missing = chain->missing != NULL ? chain->missing : found.missing;
    return true;
}

/* Whether [off, off + len) of the file is plain data in one piece below, up to where *ret_found says. */
static bool is_plain(const struct file *file, uint64_t off, uint64_t len, struct chain_extent *ret_found,
                     bool *ret_is_plain, struct error *error)
{
    *ret_is_plain = false;
    if (off >= file->len) {
        return true;
    }
    RETURN_IF_FAILED(map_below(file, off, len, ret_found, error));
    *ret_is_plain = ret_found->extent.kind == EXTENT_DATA && !ret_found->is_hole && ret_found->missing == NULL;
    return true;
}

/* Whole units that lie below as they are. What does not, is read through the image below, unit by unit of its extents.
 */
static bool look_for_encrypted(struct chain_extent *chain, struct error *error)
{
    struct extent *extent = &chain->extent;
    const struct data_cipher *cipher = chain->image->cipher;
    struct chain_extent found = {0};
    bool is_there;
    if (cipher == NULL) {
        return true; /* who reads it, says so */
    }
    uint64_t in_unit = extent->cipher_off % cipher->unit_len;
    uint64_t unit_off = extent->file_off - in_unit; /* no less than 0: formats have whole units */
    uint64_t whole_len = round_up(in_unit + extent->len, cipher->unit_len);
    RETURN_IF_FAILED(is_plain(extent->file, unit_off, whole_len, &found, &is_there, error));
    if (is_there && found.extent.len >= cipher->unit_len) {
        extent->len = min_u64(extent->len, round_down(found.extent.len, cipher->unit_len) - in_unit);
        extent->file = found.extent.file;
        extent->file_off = found.extent.file_off + in_unit;
    } else if (found.extent.len > 0) {
        extent->len = min_u64(extent->len, round_up(found.extent.len, cipher->unit_len) - in_unit);
    }
    return true;
}

static bool look_for_stream(struct chain_extent *chain, struct error *error)
{
    struct extent *extent = &chain->extent;
    struct chain_extent found;
    bool is_there;
    RETURN_IF_FAILED(is_plain(extent->file, extent->file_off, extent->compressed_len, &found, &is_there, error));
    if (is_there && found.extent.len == extent->compressed_len) {
        extent->file = found.extent.file;
        extent->file_off = found.extent.file_off;
    }
    return true;
}

bool image_file_look_below(struct chain_extent *chain, struct error *error)
{
    switch (chain->extent.kind) {
    case EXTENT_DATA:
        return look_for_data(chain, error);
    case EXTENT_ENCRYPTED:
        return look_for_encrypted(chain, error);
    case EXTENT_COMPRESSED:
        return look_for_stream(chain, error);
    case EXTENT_ZERO:
    case EXTENT_UNALLOCATED:
    default:
        return true;
    }
}
