/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image that consists of several files becomes longer by the last of them: a flat one by zeros at its end, a sparse
 * one by what its header says. Where files have 2 GiB of the disk at most, others come behind it. Last, the descriptor
 * tells of all that. Before that a flat file is longer than its extent, which nobody sees, and new files belong to
 * nobody. A sparse extent is as long as its header says, whatever the descriptor does.
 */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/vmdk/vmdk_description.h"
#include "guest/formats/vmdk/vmdk_parts.h"
#include "guest/formats/vmdk/vmdk_writer.h"

#define ZEROING_LEN_MAX (1ull << 30)

/* Bytes of the longest line of an extent, but for its name. */
#define EXTENT_LINE_LEN_MAX 48u

/* How the disk becomes longer. */
struct growth {
    uint32_t index; /* of the last extent */
    struct vmdk_extent *last;
    uint64_t last_len; /* bytes that it has then */
    uint64_t rest_len; /* bytes in new files */
};

static bool refuse(const struct vmdk_parts *parts, const char *why, struct error *error)
{
    return error_set(error, ERROR_UNSUPPORTED, parts->image->file->name, "gets no further files: %s", why);
}

/* Whether the image may have the further files that it needs. */
static bool check_new(const struct vmdk_parts *parts, const struct growth *growth, const struct resize_plan *plan,
                      struct error *error)
{
    const struct image *image = parts->image;
    const struct vmdk_extent *last = growth->last;
    uint64_t count = vmdk_split_count(growth->rest_len);
    if (count > VMDK_SPLIT_COUNT_MAX - min_u64(parts->vmdk->extent_count, VMDK_SPLIT_COUNT_MAX)) {
        return error_set(error, ERROR_UNSUPPORTED, image->file->name,
                         "an image in files of 2 GiB has %u of them at most", VMDK_SPLIT_COUNT_MAX);
    }
    if (count != plan->new_count) {
        return error_set(error, ERROR_USAGE, image->file->name,
                         "needs %llu further files, and is another one than that for which there are %u",
                         (unsigned long long)count, plan->new_count);
    }
    if (count == 0) {
        return true;
    }
    if (last->kind == VMDK_KIND_SPARSE &&
        (last->tables.grain_len != VMDK_NEW_GRAIN_LEN || growth->last_len % VMDK_NEW_GRAIN_LEN != 0)) {
        return refuse(parts, "the last one has grains of another length, or half a one", error);
    }
    bool has_backing = image->backing != NULL || image->backing_name.is_set;
    if (has_backing && (image->backing == NULL || image->backing->virtual_len > image->virtual_len)) {
        return refuse(parts, "they would show what the backing file, which is longer or was not looked at, has there",
                      error);
    }
    return vmdk_name_is_quotable(plan->name) || refuse(parts, "its name cannot stand in a descriptor", error);
}

static bool choose_growth(const struct vmdk_parts *parts, const struct resize_plan *plan, struct growth *ret_growth,
                          struct error *error)
{
    static const char limited[] = "twoGbMaxExtent";
    const struct vmdk *vmdk = parts->vmdk;
    uint32_t index = vmdk->extent_count - 1;
    struct vmdk_extent *last = &vmdk->extents[index];
    uint64_t len = plan->virtual_len - last->voff;
    bool is_limited = strncmp(vmdk->create_type, limited, strlen(limited)) == 0;
    for (uint32_t i = 0; i < index; i++) {
        if (vmdk->extents[i].file->device == last->file->device) {
            return error_set(error, ERROR_UNSUPPORTED, last->file->name,
                             "has several extents: such vmdk images do not become longer");
        }
    }
    uint64_t last_len = is_limited ? min_u64(len, max_u64(last->len, VMDK_SPLIT_LEN)) : len;
    *ret_growth = (struct growth){.index = index, .last = last, .last_len = last_len, .rest_len = len - last_len};
    return check_new(parts, ret_growth, plan, error);
}

/* The lines of the new extents, in the descriptor behind that of the last one. */
static bool edit_descriptor(struct vmdk_parts *parts, const struct growth *growth, const struct resize_plan *plan,
                            struct vmdk_descriptor_edit *edit, struct error *error)
{
    static const char cannot[] = "the image's descriptor cannot be changed";
    struct file *file = parts->image->file;
    bool is_flat = growth->last->kind == VMDK_KIND_FLAT;
    uint64_t room = plan->new_count * (VMDK_PART_NAME_LEN_MAX + EXTENT_LINE_LEN_MAX);
    struct vmdk_description lines = {.text = arena_allocate(parts->image->environment->arena, room + 1, 1),
                                     .room = (size_t)room + 1};
    if (lines.text == NULL) {
        return error_set(error, ERROR_LIMIT, file->name, "no memory is left to change the descriptor");
    }
    RETURN_IF_FAILED(vmdk_parts_read_descriptor(parts, room, edit, error));
    for (uint32_t i = 0; i < plan->new_count; i++) {
        char name[VMDK_PART_NAME_LEN_MAX];
        vmdk_description_add(&lines, vmdk_split_part_len(growth->rest_len, i) / VMDK_SECTOR_LEN,
                             is_flat ? VMDK_EXTENT_FLAT : VMDK_EXTENT_SPARSE,
                             vmdk_part_name(plan->name, is_flat, plan->new_first + i, name));
    }
    struct span added = {(const uint8_t *)lines.text, lines.len};
    return (!lines.is_cut &&
            vmdk_descriptor_edit_extent(edit, growth->index, growth->last_len / VMDK_SECTOR_LEN,
                                        plan->virtual_len / VMDK_SECTOR_LEN) &&
            (plan->new_count == 0 || vmdk_descriptor_edit_add(edit, growth->index, added, plan->new_count))) ||
           error_set(error, ERROR_UNSUPPORTED, file->name, cannot);
}

/* The new files, complete and on stable storage, but for their names. */
static bool make_new(const struct vmdk_parts *parts, const struct growth *growth, const struct resize_plan *plan,
                     struct error *error)
{
    struct target_setup target_setup = {
        .environment = parts->image->environment,
        .file = parts->image->file,
        .further_files = plan->new_files,
        .further_file_count = plan->new_count,
        .virtual_len = growth->rest_len,
    };
    struct vmdk_writer_setup setup = {
        .target = &target_setup,
        .has_zeroed_grains = growth->last->tables.has_zeroed_grains,
    };
    return plan->new_count == 0 || vmdk_split_make_files(&setup, growth->last->kind == VMDK_KIND_FLAT, error);
}

static bool name_new(const struct vmdk_parts *parts, const struct resize_plan *plan, struct error *error)
{
    struct image_environment *environment = parts->image->environment;
    struct file *first;
    return plan->new_count == 0 || environment->open_file(environment, (struct span){0}, parts->image->file,
                                                          IMAGE_FILE_NEW_PARTS, &first, error);
}

/* The file of a flat extent has zeros behind what it had of the disk. */
static bool grow_flat(struct vmdk_parts *parts, const struct vmdk_extent *extent, uint64_t len, struct error *error)
{
    struct target *target = &parts->target;
    struct file *file = extent->file;
    uint64_t off = extent->flat_off + extent->len;
    uint64_t end_off;
    if (!checked_add(extent->flat_off, len, &end_off) || end_off > FILE_END_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, file->name, "the image is longer than a file can be");
    }
    uint64_t old_end_off = min_u64(file->len, end_off);
    while (off < old_end_off) { /* ends: each round goes on by a part */
        uint64_t part_len = min_u64(old_end_off - off, ZEROING_LEN_MAX);
        struct io_request request = target_own_request(target);
        io_write_zeroes(target->io, &request, file, off, part_len, true);
        RETURN_IF_FAILED(target_settle(target, error));
        off += part_len;
    }
    return (file->len >= end_off || target_set_len(target, file, end_off, error)) &&
           target_flush_file(target, file, error);
}

static bool grow_sparse(struct vmdk_parts *parts, uint32_t index, uint64_t len, struct error *error)
{
    RETURN_IF_FAILED(vmdk_parts_select(parts, index, error));
    struct target *target = &parts->modify->blocks.target;
    parts->current = VMDK_PART_NONE;
    if (vmdk_resize_extent(parts->modify, len, error) && block_modify_finish(target, true, error)) {
        return true;
    }
    target_abandon(target);
    return false;
}

static bool grow_last(struct vmdk_parts *parts, const struct growth *growth, struct error *error)
{
    if (growth->last_len == growth->last->len) {
        return true;
    }
    RETURN_IF_FAILED(growth->last->kind == VMDK_KIND_FLAT ? grow_flat(parts, growth->last, growth->last_len, error)
                                                          : grow_sparse(parts, growth->index, growth->last_len, error));
    growth->last->len = growth->last_len;
    return true;
}

bool vmdk_parts_resize(struct image *image, const struct resize_plan *plan, struct error *error)
{
    struct vmdk_parts *parts;
    struct vmdk_descriptor_edit edit;
    struct growth growth;
    bool is_sparse;
    RETURN_IF_FAILED(vmdk_resize_check_plan(image, plan, error) && vmdk_parts_make(image, &parts, error) &&
                     vmdk_parts_check(parts, &is_sparse, error) && choose_growth(parts, plan, &growth, error));
    RETURN_IF_FAILED(vmdk_parts_begin(parts, error) && edit_descriptor(parts, &growth, plan, &edit, error));
    return make_new(parts, &growth, plan, error) && grow_last(parts, &growth, error) && name_new(parts, plan, error) &&
           vmdk_parts_write_descriptor(parts, &edit, error);
}
