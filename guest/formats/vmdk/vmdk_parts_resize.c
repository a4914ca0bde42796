/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image that consists of several files becomes longer by the last of them: a flat one by zeros at its end, a sparse
 * one by what its header says; then the descriptor tells of it. Before that a flat file is longer than its extent,
 * which nobody sees. A sparse extent is as long as its header says, whatever the descriptor does.
 */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/vmdk/vmdk_parts.h"

/* Of the files of images whose type says so. */
#define PART_LEN_MAX (2ull << 30)
#define ZEROING_LEN_MAX (1ull << 30)

static bool check_last(const struct vmdk_parts *parts, uint64_t len, struct error *error)
{
    const struct vmdk *vmdk = parts->vmdk;
    const struct vmdk_extent *last = &vmdk->extents[vmdk->extent_count - 1];
    static const char limited[] = "twoGbMaxExtent";
    if (strncmp(vmdk->create_type, limited, strlen(limited)) == 0 && len > PART_LEN_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, last->file->name,
                         "would have more than 2 GiB of the disk: a longer disk gets no further files");
    }
    for (uint32_t i = 0; i + 1 < vmdk->extent_count; i++) {
        if (vmdk->extents[i].file->device == last->file->device) {
            return error_set(error, ERROR_UNSUPPORTED, last->file->name,
                             "has several extents: such vmdk images do not become longer");
        }
    }
    return true;
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

bool vmdk_parts_resize(struct image *image, const struct resize_plan *plan, struct error *error)
{
    struct vmdk_parts *parts;
    struct vmdk_descriptor_edit edit;
    bool is_sparse;
    RETURN_IF_FAILED(vmdk_resize_check_plan(image, plan, error) && vmdk_parts_make(image, &parts, error) &&
                     vmdk_parts_check(parts, &is_sparse, error));
    uint32_t index = parts->vmdk->extent_count - 1;
    struct vmdk_extent *last = &parts->vmdk->extents[index];
    uint64_t len = plan->virtual_len - last->voff;
    RETURN_IF_FAILED(check_last(parts, len, error) && vmdk_parts_begin(parts, error) &&
                     vmdk_parts_read_descriptor(parts, &edit, error));
    if (!vmdk_descriptor_edit_extent(&edit, index, len / VMDK_SECTOR_LEN, plan->virtual_len / VMDK_SECTOR_LEN)) {
        return error_set(error, ERROR_UNSUPPORTED, image->file->name, "the image's descriptor cannot be changed");
    }
    RETURN_IF_FAILED(last->kind == VMDK_KIND_FLAT ? grow_flat(parts, last, len, error)
                                                  : grow_sparse(parts, index, len, error));
    last->len = len;
    return vmdk_parts_write_descriptor(parts, &edit, error);
}
