/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/backing_choice.h"

#include <string.h>

#include "base/text.h"

static bool choose(const char *key, const char **choice, struct key_values *options, struct error *error)
{
    if (*choice != NULL) {
        return key_values_add(options, key, *choice, error);
    }
    *choice = key_values_find(options, key);
    return true;
}

bool backing_choice_complete(struct backing_choice *choice, const struct target_format *format,
                             struct key_values *options, struct error *error)
{
    if (!format->has_backing && (choice->file != NULL || choice->format != NULL)) {
        return error_set(error, ERROR_USAGE, NULL, "Backing file %snot supported for file format '%s'",
                         choice->file != NULL ? "" : "format ", format->name);
    }
    RETURN_IF_FAILED(choose("backing_file", &choice->file, options, error) &&
                     choose("backing_fmt", &choice->format, options, error));
    /* Of differencing disks, which QEMU makes none of. What other formats do with such a wish, the guest knows. */
    return choice->file != NULL || choice->format == NULL || target_format_has_option(format, "backing_fmt") ||
           error_set(error, ERROR_USAGE, NULL, "Backing file format not supported for file format '%s'", format->name);
}

bool backing_choice_encode(const struct backing_choice *choice, pb_byte_t *bytes, size_t room, pb_size_t *ret_len,
                           char *format, size_t format_room, struct error *error)
{
    size_t len = choice->file != NULL ? strlen(choice->file) : 0;
    if (len > room) {
        return error_set(error, ERROR_USAGE, NULL, "Backing file name too long");
    }
    if (choice->format != NULL && strlen(choice->format) >= format_room) {
        return error_set(error, ERROR_USAGE, NULL, "Unknown driver '%s'", choice->format);
    }
    if (len > 0) {
        memcpy(bytes, choice->file, len);
    }
    *ret_len = (pb_size_t)len;
    text_copy(format, format_room, choice->format != NULL ? choice->format : "");
    return true;
}
