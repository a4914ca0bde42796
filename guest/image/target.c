/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/target.h"

#include <string.h>

bool target_create(const char *format, const struct target_setup *setup, struct target **ret_target,
                   struct error *error)
{
    const struct format *found = format_find(format);
    if (found == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "Unknown file format '%s'", format);
    }
    if (found->create == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Format driver '%s' does not support image creation", format);
    }
    if (setup->data_file != NULL && setup->data_file->len > 0 && setup->data_file->is_resizable) {
        return error_set(error, ERROR_HOST, setup->data_file->name, "the data file is not empty");
    }
    return found->create(setup, ret_target, error);
}

bool target_open_image(struct image *image, struct target **ret_target, struct error *error)
{
    if (image->format->open_target == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, image->file->name,
                         "writing to images of format '%s' is not supported yet", image->format->name);
    }
    return image->format->open_target(image, ret_target, error);
}

bool target_open(const char *format, struct image_environment *environment, struct file *file,
                 struct target **ret_target, struct error *error)
{
    struct image_setup setup = {
        .environment = environment,
        .file = file,
        .format = format,
        .purpose = IMAGE_TO_READ,
    };
    struct image *image;
    RETURN_IF_FAILED(image_open(&setup, &image, error));
    RETURN_IF_FAILED(image_open_chain(image, error));
    return target_open_image(image, ret_target, error);
}

bool target_name_set(struct file_name *name, const uint8_t *bytes, size_t len)
{
    if (len > sizeof(name->bytes)) {
        return false;
    }
    name->is_set = len > 0;
    name->len = (uint16_t)len;
    memcpy(name->bytes, bytes, len);
    return true;
}
