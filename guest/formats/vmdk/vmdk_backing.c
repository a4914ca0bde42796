/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another image behind one that exists (QEMU has only what an image was made with). An image knows its parent by the
 * name and by the content ID that it must have: who does not look at the new one (rebase -u) says that it has the same.
 */
#include "guest/formats/vmdk/vmdk_backing.h"

#include <string.h>

#include "guest/formats/vmdk/vmdk_description.h"
#include "guest/formats/vmdk/vmdk_modify.h"

bool vmdk_choose_parent(const struct vmdk *vmdk, const struct file_name *name, const char *format,
                        const struct image *backing, uint32_t *ret_cid, struct error *error)
{
    *ret_cid = VMDK_CID_NONE;
    if (!name->is_set) {
        return true;
    }
    if (strcmp(format, "vmdk") != 0 || (backing != NULL && backing->format != &vmdk_format)) {
        return error_set(error, ERROR_USAGE, NULL, "backing_file must be a vmdk image");
    }
    if (!vmdk_name_is_quotable((struct span){name->bytes, name->len})) {
        return error_set(error, ERROR_USAGE, NULL, "the backing file's name cannot stand in a descriptor");
    }
    *ret_cid = backing != NULL ? vmdk_of(backing)->cid : vmdk->parent_cid;
    return *ret_cid != VMDK_CID_NONE ||
           error_set(error, ERROR_USAGE, NULL,
                     "the image has no content ID of a parent, which is read of the parent only without -u");
}

bool vmdk_can_set_backing(struct target *target, const struct file_name *name, const char *format,
                          const struct image *backing, struct error *error)
{
    struct block_modify *blocks = block_modify_of(target);
    struct vmdk_modify *modify = vmdk_modify_of(blocks);
    blocks->has_begun = true; /* the disk stays what it is, and so does its content ID */
    return vmdk_choose_parent(modify->vmdk, name, format, backing, &modify->parent_cid, error);
}

/* The descriptor is written at once, with the header before it, which stays. */
bool vmdk_set_backing(struct target *target, const struct file_name *name, const char *format, struct error *error)
{
    struct block_modify *blocks = block_modify_of(target);
    struct vmdk_modify *modify = vmdk_modify_of(blocks);
    struct vmdk_descriptor_edit edit;
    (void)format; /* vmdk_can_set_backing */
    RETURN_IF_FAILED(target_settle(target, error));
    RETURN_IF_FAILED(
        cache_read(blocks->changes.cache, target->file, 0, blocks->bounce, VMDK_SPARSE_HEADER_LEN, error) &&
        vmdk_modify_read_descriptor(modify, blocks->bounce + VMDK_DESCRIPTOR_OFF, &edit, error));
    struct span text = {name->bytes, name->is_set ? name->len : 0};
    if (!vmdk_descriptor_edit_parent(&edit, modify->parent_cid, text)) {
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "the image's descriptor has no room for the name, or cannot be changed");
    }
    return vmdk_modify_write_head(modify, error);
}
