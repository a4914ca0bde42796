/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/convert/convert_bitmaps.h"

#include <stdio.h>

#include "guest/runtime/messages.h"

bool convert_bitmaps_check(struct image *source, bool skips_broken, struct error *error)
{
    struct image_bitmap_walk walk = {0};
    static struct image_bitmap bitmap; /* large */
    bool is_end = false;
    bool success = true;
    if (!source->can_have_bitmaps) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Source lacks bitmap support");
    }
    while (!is_end) { /* ends: an image has a number of bitmaps */
        RETURN_IF_FAILED(source->format->bitmap_next(source, &walk, &is_end, &bitmap, error));
        if (!is_end && bitmap.is_inconsistent && !skips_broken) { /* qemu-img names the last one */
            *error = (struct error){0};
            success =
                error_set_reason(error, ERROR_REASON_BITMAP_NOT_COPIED, ERROR_MALFORMED, NULL,
                                 "Cannot copy inconsistent bitmap '%.*s'", bitmap.name_len, (const char *)bitmap.name);
        }
    }
    return success;
}

bool convert_bitmaps_begin(struct image *source, struct target *target, const char *target_format, struct error *error)
{
    if (target->operations->begin_bitmaps == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Format driver '%s' does not support bitmaps", target_format);
    }
    return target->operations->begin_bitmaps(target, source, error);
}

static void warn(const struct image *source, const struct image_bitmap *bitmap)
{
    static instar_GuestMessage message; /* large */
    message = (instar_GuestMessage){.which_kind = instar_GuestMessage_warning_tag};
    message.kind.warning.device = source->file->device;
    snprintf(message.kind.warning.text, sizeof(message.kind.warning.text), "Skipping inconsistent bitmap '%.*s'",
             bitmap->name_len, (const char *)bitmap->name);
    messages_post(&message);
}

bool convert_bitmaps_copy(struct image *source, struct target *target, struct error *error)
{
    struct image_bitmap_walk walk = {0};
    static struct image_bitmap bitmap; /* large */
    for (;;) {                         /* ends: as above */
        bool is_end;
        RETURN_IF_FAILED(source->format->bitmap_next(source, &walk, &is_end, &bitmap, error));
        if (is_end) {
            return target->operations->add_bitmaps(target, source, error);
        }
        if (bitmap.is_inconsistent) {
            warn(source, &bitmap);
        }
    }
}
