/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/image_part.h"

/* The image itself has nothing; what is behind it has all (chain.c). */
static bool part_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error)
{
    (void)image;
    (void)error;
    *ret_extent = (struct extent){.voff = voff, .len = len, .kind = EXTENT_UNALLOCATED};
    return true;
}

/* Not listed among the formats: no file is in it. */
static const struct format part_format = {.name = "raw", .map = part_map};

bool image_open_part(struct image *within, const struct file_window *window, struct image **ret_part,
                     struct error *error)
{
    uint64_t len;
    RETURN_IF_FAILED(file_window_check(window, within->virtual_len, within->file->name, &len, error));
    struct image *part = arena_allocate(within->environment->arena, sizeof(*part), _Alignof(struct image));
    if (part == NULL) {
        return error_set(error, ERROR_LIMIT, within->file->name, "no memory is left for the image");
    }
    if (within->purpose == IMAGE_TO_DESCRIBE) {
        image_tell_format(within->file, within->format->name); /* the InfoMessage is about the part */
    }
    *part = (struct image){
        .format = &part_format,
        .environment = within->environment,
        .file = within->file,
        .backing = within,
        .purpose = within->purpose,
        .is_part = true,
        .virtual_len = len,
        .cluster_len = within->cluster_len,
        .has_dirty_flag = within->has_dirty_flag, /* as QEMU has it */
        .is_dirty = within->is_dirty,
        .further_allocated_len = within->further_allocated_len,
    };
    for (struct image *image = within; image != NULL; image = image->backing) { /* ends: as image_chain_len */
        image->part_off += window->off;
    }
    *ret_part = part;
    return true;
}
