/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptor of an image that consists of several files: another parent, and the write of its file. */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/vmdk/vmdk_backing.h"
#include "guest/formats/vmdk/vmdk_parts.h"
#include "guest/image/cache.h"

/* Of a descriptor that is changed: that of 2048 extents, and a name. */
#define DESCRIPTOR_LEN_MAX (256u << 10)
#define ROOM_LEN (4u << 10)

bool vmdk_parts_read_descriptor(struct vmdk_parts *parts, uint64_t room_len, struct vmdk_descriptor_edit *ret_edit,
                                struct error *error)
{
    struct file *file = parts->image->file;
    const struct image_environment *environment = parts->image->environment;
    if (file->len > DESCRIPTOR_LEN_MAX || !file->is_resizable) {
        return error_set(error, ERROR_UNSUPPORTED, file->name, "the image's descriptor cannot be changed");
    }
    size_t room = (size_t)round_up(file->len + ROOM_LEN + room_len, VMDK_SECTOR_LEN);
    uint8_t *bytes = arena_allocate(environment->arena, room, VMDK_SECTOR_LEN);
    if (bytes == NULL) {
        return error_set(error, ERROR_LIMIT, file->name, "no memory is left to change the descriptor");
    }
    memset(bytes, 0, room);
    RETURN_IF_FAILED(cache_read(environment->cache, file, 0, bytes, (size_t)file->len, error));
    return vmdk_descriptor_edit_begin(ret_edit, bytes, room) ||
           error_set(error, ERROR_MALFORMED, file->name, "the descriptor has no end");
}

bool vmdk_parts_write_descriptor(struct vmdk_parts *parts, const struct vmdk_descriptor_edit *edit, struct error *error)
{
    struct target *target = &parts->target;
    struct file *file = parts->image->file;
    /* The text ends with its first zero, so that the file may be longer meanwhile. */
    RETURN_IF_FAILED(target_flush_file(target, file, error) &&
                     (file->len >= edit->len || target_set_len(target, file, edit->len, error)));
    struct io_request request = target_own_request(target);
    io_write(target->io, &request, file, 0, edit->bytes, file->len);
    RETURN_IF_FAILED(target_settle(target, error) && target_flush_file(target, file, error));
    cache_update(parts->image->environment->cache, file, 0, (struct span){edit->bytes, (size_t)file->len});
    return file->len == edit->len ||
           (target_set_len(target, file, edit->len, error) && target_flush_file(target, file, error));
}

bool vmdk_parts_can_set_backing(struct target *target, const struct file_name *name, const char *format,
                                const struct image *backing, struct error *error)
{
    struct vmdk_parts *parts = vmdk_parts_of(target);
    parts->has_begun = true; /* the disk stays what it is, and so does its content ID */
    return vmdk_choose_parent(parts->vmdk, name, format, backing, &parts->parent_cid, error);
}

bool vmdk_parts_set_backing(struct target *target, const struct file_name *name, const char *format,
                            struct error *error)
{
    struct vmdk_parts *parts = vmdk_parts_of(target);
    struct vmdk_descriptor_edit edit;
    (void)format; /* vmdk_parts_can_set_backing */
    RETURN_IF_FAILED(vmdk_parts_settle(parts, error) && target->operations->flush(target, error) &&
                     vmdk_parts_read_descriptor(parts, 0, &edit, error));
    struct span text = {name->bytes, name->is_set ? name->len : 0};
    if (!vmdk_descriptor_edit_parent(&edit, parts->parent_cid, text)) {
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "the image's descriptor has no room for the name, or cannot be changed");
    }
    return vmdk_parts_write_descriptor(parts, &edit, error);
}
