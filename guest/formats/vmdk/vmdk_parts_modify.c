/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image that exists and consists of several files, changed in place: extents that are flat, or sparse as
 * vmdk_modify.c knows them, which the host lets us write to. All are looked at before anything is changed.
 */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/vmdk/vmdk_parts.h"
#include "guest/image/cache.h"

/* What a sparse extent at work takes: block_modify.h's tables and buffers, and a bit for each grain of its file. */
#define PART_MEMORY_LEN (1u << 20)
/* Requests of the extent at work, and of flat ones, are done. */
static bool settle(struct vmdk_parts *parts, struct error *error)
{
    return target_settle(&parts->target, error) &&
           (parts->current == VMDK_PART_NONE || target_settle(&parts->modify->blocks.target, error));
}

/* Nothing of the sparse extent at work is left in memory. */
static bool part_end(struct vmdk_parts *parts, struct error *error)
{
    if (parts->current == VMDK_PART_NONE) {
        return true;
    }
    RETURN_IF_FAILED(block_modify_finish(&parts->modify->blocks.target, false, error));
    parts->current = VMDK_PART_NONE;
    return true;
}

bool vmdk_parts_settle(struct vmdk_parts *parts, struct error *error)
{
    return settle(parts, error) && part_end(parts, error);
}

struct image *vmdk_parts_image(struct vmdk_parts *parts, uint32_t index)
{
    const struct vmdk_extent *extent = &parts->vmdk->extents[index];
    parts->arena = parts->part_arena;
    memset((void *)(uintptr_t)parts->arena.next_gpa, 0, (size_t)arena_left(&parts->arena, 1));
    parts->part_image = *parts->image;
    parts->part_image.environment = &parts->environment;
    parts->part_image.file = extent->file;
    parts->part_image.virtual_len = extent->len;
    parts->part_image.purpose = IMAGE_TO_READ; /* the descriptor is elsewhere */
    return &parts->part_image;
}

bool vmdk_parts_select(struct vmdk_parts *parts, uint32_t index, struct error *error)
{
    static struct vmdk_layout layout; /* large */
    struct vmdk_extent *extent = &parts->vmdk->extents[index];
    if (parts->current == index) {
        return true;
    }
    RETURN_IF_FAILED(part_end(parts, error));
    struct image *image = vmdk_parts_image(parts, index);
    RETURN_IF_FAILED(vmdk_layout_look(&layout, image, extent, error) &&
                     vmdk_modify_make(image, extent, &layout, &parts->modify, error));
    parts->modify->is_part = true;
    parts->modify->blocks.disk_off = extent->voff;
    parts->current = index;
    return true;
}

/* Another content ID, before the first change (vmdk_modify.c). */
bool vmdk_parts_begin(struct vmdk_parts *parts, struct error *error)
{
    uint8_t *bytes = parts->descriptor;
    struct file *file = parts->image->file;
    struct cache *cache = parts->image->environment->cache;
    size_t pos;
    size_t len;
    if (parts->has_begun || parts->image->purpose != IMAGE_TO_CHANGE) {
        return true;
    }
    parts->has_begun = true;
    size_t room = (size_t)min_u64(VMDK_DESCRIPTOR_LEN, file->len);
    RETURN_IF_FAILED(cache_read(cache, file, 0, bytes, room, error));
    struct vmdk_descriptor_edit edit = {bytes, vmdk_descriptor_text((struct span){bytes, room}).len, room};
    if (!vmdk_descriptor_edit_cid(&edit, parts->vmdk->cid, &parts->vmdk->cid, &pos, &len)) {
        return true;
    }
    size_t first = (size_t)round_down(pos, VMDK_SECTOR_LEN);
    size_t end = (size_t)min_u64(round_up(pos + len, VMDK_SECTOR_LEN), room);
    struct io_request request = target_own_request(&parts->target);
    io_write(parts->target.io, &request, file, first, bytes + first, end - first);
    RETURN_IF_FAILED(target_settle(&parts->target, error));
    cache_update(cache, file, first, (struct span){bytes + first, end - first});
    return true;
}

/*
 * The extent that has `voff`, to be changed: *ret_len is how much of [voff, voff + len) it has, *ret_off where that
 * begins in the extent.
 */
static bool select_extent(struct vmdk_parts *parts, uint64_t voff, uint64_t len, struct vmdk_extent **ret_extent,
                          uint64_t *ret_off, uint64_t *ret_len, struct error *error)
{
    struct vmdk_extent *extent = vmdk_find_extent(parts->vmdk, voff);
    uint32_t index = (uint32_t)(extent - parts->vmdk->extents);
    RETURN_IF_FAILED(target_check(&parts->target, error) && vmdk_parts_begin(parts, error));
    RETURN_IF_FAILED(extent->kind == VMDK_KIND_FLAT || vmdk_parts_select(parts, index, error));
    if (extent->kind == VMDK_KIND_SPARSE) {
        parts->modify->blocks.target.has_backing = parts->target.has_backing; /* which rebase may have set since */
    }
    parts->is_changed[index] = true;
    *ret_extent = extent;
    *ret_off = voff - extent->voff;
    *ret_len = min_u64(len, extent->len - *ret_off);
    return true;
}

static bool parts_write(struct target *target, struct target_write *write, uint64_t voff, const void *data,
                        uint64_t len, uint64_t *ret_len, struct error *error)
{
    struct vmdk_parts *parts = vmdk_parts_of(target);
    struct vmdk_extent *extent;
    uint64_t off;
    RETURN_IF_FAILED(select_extent(parts, voff, len, &extent, &off, &len, error));
    if (extent->kind == VMDK_KIND_SPARSE) {
        struct target *part = &parts->modify->blocks.target;
        return part->operations->write(part, write, off, data, len, ret_len, error);
    }
    target_begin_write(target, write);
    io_write(target->io, &write->request, extent->file, extent->flat_off + off, data, len);
    *ret_len = len;
    return true;
}

static bool parts_copy(struct target *target, struct target_write *write, uint64_t voff, struct file *source,
                       uint64_t source_off, uint64_t len, uint32_t zero_len, uint64_t *ret_len, struct error *error)
{
    struct vmdk_parts *parts = vmdk_parts_of(target);
    struct vmdk_extent *extent;
    uint64_t off;
    RETURN_IF_FAILED(select_extent(parts, voff, len, &extent, &off, &len, error));
    if (extent->kind == VMDK_KIND_SPARSE) {
        struct target *part = &parts->modify->blocks.target;
        return part->operations->copy(part, write, off, source, source_off, len, zero_len, ret_len, error);
    }
    target_begin_write(target, write);
    io_copy(target->io, &write->request, source, source_off, extent->file, extent->flat_off + off, len, 0);
    *ret_len = len;
    return true;
}

static bool parts_zero(struct target *target, uint64_t voff, uint64_t len, struct error *error)
{
    struct vmdk_parts *parts = vmdk_parts_of(target);
    while (len > 0) { /* ends: each round goes on by what an extent has of it */
        struct vmdk_extent *extent;
        uint64_t off;
        uint64_t part_len;
        RETURN_IF_FAILED(select_extent(parts, voff, len, &extent, &off, &part_len, error));
        if (extent->kind == VMDK_KIND_SPARSE) {
            struct target *part = &parts->modify->blocks.target;
            RETURN_IF_FAILED(part->operations->zero(part, off, part_len, error));
        } else {
            RETURN_IF_FAILED(target_settle(target, error));
            struct io_request request = target_own_request(target);
            io_write_zeroes(target->io, &request, extent->file, extent->flat_off + off, part_len, true);
            RETURN_IF_FAILED(target_settle(target, error));
        }
        voff += part_len;
        len -= part_len;
    }
    return true;
}

static bool flush_changed(struct vmdk_parts *parts, struct error *error)
{
    for (uint32_t i = 0; i < parts->vmdk->extent_count; i++) {
        RETURN_IF_FAILED(!parts->is_changed[i] ||
                         target_flush_file(&parts->target, parts->vmdk->extents[i].file, error));
        parts->is_changed[i] = i == parts->current;
    }
    return target_flush_file(&parts->target, parts->target.file, error);
}

static bool parts_flush(struct target *target, struct error *error)
{
    struct vmdk_parts *parts = vmdk_parts_of(target);
    return settle(parts, error) &&
           (parts->current == VMDK_PART_NONE || block_modify_checkpoint(&parts->modify->blocks, error)) &&
           flush_changed(parts, error);
}

static bool parts_finish(struct target *target, bool sync, struct error *error)
{
    struct vmdk_parts *parts = vmdk_parts_of(target);
    return vmdk_parts_settle(parts, error) && (!sync || flush_changed(parts, error));
}

static void parts_abandon(struct target *target)
{
    struct vmdk_parts *parts = vmdk_parts_of(target);
    struct error ignored = {0};
    if (target_revive(target, &ignored) && parts->current != VMDK_PART_NONE) {
        target_abandon(&parts->modify->blocks.target);
    }
}

static bool parts_make_empty(struct target *target, struct error *error)
{
    struct vmdk_parts *parts = vmdk_parts_of(target);
    for (uint32_t i = 0; i < parts->vmdk->extent_count; i++) {
        parts->is_changed[i] = true;
        RETURN_IF_FAILED(vmdk_parts_select(parts, i, error) && vmdk_modify_make_empty(parts->modify, error));
    }
    return true;
}

static bool refuse(const struct vmdk_extent *extent, const struct vmdk_parts *parts, const char *why,
                   struct error *error)
{
    return error_set(error, ERROR_UNSUPPORTED, extent->file != NULL ? extent->file->name : parts->image->file->name,
                     "%s: such vmdk images are not changed", why);
}

/* No other extent has anything of the same file but another part of it. */
static bool check_alone(const struct vmdk_parts *parts, uint32_t index, struct error *error)
{
    const struct vmdk_extent *extent = &parts->vmdk->extents[index];
    for (uint32_t i = 0; i < index; i++) {
        const struct vmdk_extent *other = &parts->vmdk->extents[i];
        bool is_apart =
            extent->kind == VMDK_KIND_FLAT && other->kind == VMDK_KIND_FLAT &&
            (extent->flat_off >= other->flat_off + other->len || other->flat_off >= extent->flat_off + extent->len);
        if (other->file->device == extent->file->device && !is_apart) {
            return refuse(extent, parts, "two extents have the same place of a file", error);
        }
    }
    return true;
}

bool vmdk_parts_check_file(const struct vmdk_parts *parts, const struct vmdk_extent *extent, struct error *error)
{
    if (extent->kind == VMDK_KIND_ZERO || extent->is_read_only) {
        return refuse(extent, parts, "an extent is not to be written", error);
    }
    return (extent->file->is_resizable && extent->file != parts->image->file) ||
           error_set(
               error, ERROR_REFUSED, extent->file->name,
               "is not written as a part of the image: those of NAME.vmdk are, and with -f vmdk of NAME.END, that "
               "are called NAME-flat.END, NAME-f001.END or NAME-s001.END and so on, and are files of the image's "
               "owner without another name");
}

static bool check_extent(struct vmdk_parts *parts, uint32_t index, struct error *error)
{
    const struct vmdk_extent *extent = &parts->vmdk->extents[index];
    const struct vmdk_tables *tables = &extent->tables;
    bool is_last = index + 1 == parts->vmdk->extent_count;
    RETURN_IF_FAILED(vmdk_parts_check_file(parts, extent, error));
    if (extent->kind == VMDK_KIND_FLAT) {
        if (parts->target.has_backing) {
            return refuse(extent, parts, "a flat extent hides the backing file", error);
        }
        if (!range_is_within(extent->flat_off, extent->len, extent->file->len)) {
            return refuse(extent, parts, "the file of a flat extent is too short", error);
        }
        return check_alone(parts, index, error);
    }
    RETURN_IF_FAILED(vmdk_check_plain(parts->image, extent, error));
    if (parts->target.has_backing &&
        (parts->image->cluster_len == 0 || (!is_last && extent->len % tables->grain_len != 0))) {
        return refuse(extent, parts, "extents have grains of different lengths", error);
    }
    return check_alone(parts, index, error) && vmdk_parts_select(parts, index, error);
}

bool vmdk_parts_check(struct vmdk_parts *parts, bool *ret_is_sparse, struct error *error)
{
    *ret_is_sparse = true;
    for (uint32_t i = 0; i < parts->vmdk->extent_count; i++) {
        RETURN_IF_FAILED(check_extent(parts, i, error));
        parts->target.takes_copies = parts->target.takes_copies && parts->vmdk->extents[i].file->takes_copies;
        *ret_is_sparse = *ret_is_sparse && parts->vmdk->extents[i].kind == VMDK_KIND_SPARSE;
    }
    return true;
}

static bool memory_make(struct vmdk_parts *parts)
{
    struct arena *arena = parts->image->environment->arena;
    void *memory = arena_allocate(arena, PART_MEMORY_LEN, 4096);
    parts->is_changed = arena_allocate(arena, parts->vmdk->extent_count * sizeof(bool), sizeof(bool));
    parts->descriptor = arena_allocate(arena, VMDK_DESCRIPTOR_LEN, VMDK_SECTOR_LEN);
    if (memory == NULL || parts->is_changed == NULL || parts->descriptor == NULL) {
        return false;
    }
    arena_init(&parts->part_arena, (uint64_t)(uintptr_t)memory, PART_MEMORY_LEN);
    parts->environment = *parts->image->environment;
    parts->environment.arena = &parts->arena;
    return true;
}

bool vmdk_parts_make(struct image *image, struct vmdk_parts **ret_parts, struct error *error)
{
    struct vmdk_parts *parts = arena_allocate(image->environment->arena, sizeof(*parts), _Alignof(struct vmdk_parts));
    bool has_backing = image->backing != NULL || image->backing_name.is_set;
    if (parts != NULL) {
        *parts = (struct vmdk_parts){
            .target =
                {
                    .file = image->file,
                    .io = image->environment->io,
                    .virtual_len = image->virtual_len,
                    .unit_len = has_backing && image->cluster_len != 0 ? image->cluster_len : VMDK_SECTOR_LEN,
                    .has_backing = has_backing,
                    .takes_copies = true,
                    .has_compressed_kinds = true,
                },
            .image = image,
            .vmdk = vmdk_of(image),
            .current = VMDK_PART_NONE,
        };
    }
    *ret_parts = parts;
    return (parts != NULL && memory_make(parts)) ||
           error_set(error, ERROR_LIMIT, image->file->name, "no memory is left to write to the image");
}

bool vmdk_parts_open_target(struct image *image, struct target **ret_target, struct error *error)
{
    static struct target_operations operations;
    struct vmdk_parts *parts;
    bool is_sparse;
    RETURN_IF_FAILED(vmdk_parts_make(image, &parts, error) && vmdk_parts_check(parts, &is_sparse, error));
    operations = (struct target_operations){
        .write = parts_write,
        .copy = parts_copy,
        .zero = parts_zero,
        .finish = parts_finish,
        .flush = parts_flush,
        .abandon = parts_abandon,
        /* A flat extent hides what is behind the image. */
        .make_empty = is_sparse ? parts_make_empty : NULL,
        .can_set_backing = is_sparse ? vmdk_parts_can_set_backing : NULL,
        .set_backing = is_sparse ? vmdk_parts_set_backing : NULL,
    };
    parts->target.operations = &operations;
    *ret_target = &parts->target;
    return true;
}
