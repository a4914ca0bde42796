/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/format_open.h"

#include "base/checked.h"

bool format_open_state(struct image *image, size_t len, void **ret_state, struct error *error)
{
    image->state = arena_allocate(image->environment->arena, len, _Alignof(max_align_t));
    if (image->state == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the image");
    }
    *ret_state = image->state;
    return true;
}

bool format_open_read(struct image *image, uint64_t off, void *target, size_t len, struct error *error)
{
    if (!range_is_within(off, len, FORMAT_OPEN_OFF_MAX)) {
        return error_set(error, ERROR_MALFORMED, NULL, "Input/output error");
    }
    return cache_read(image->environment->cache, image->file, off, target, len, error);
}

bool format_open_set_len(struct image *image, uint64_t virtual_len, struct error *error)
{
    if (virtual_len > INT64_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "the disk is too long: %llu bytes",
                         (unsigned long long)virtual_len);
    }
    image->virtual_len = virtual_len;
    return true;
}

bool format_open_backing_name(struct image *image, uint64_t off, uint64_t len, struct error *error)
{
    struct file_name *name = &image->backing_name;
    if (len > sizeof(name->bytes)) {
        return error_set(error, ERROR_MALFORMED, NULL, "Backing file name too long");
    }
    RETURN_IF_FAILED(format_open_read(image, off, name->bytes, (size_t)len, error));
    name->len = (uint16_t)len;
    name->is_set = len > 0;
    return true;
}
