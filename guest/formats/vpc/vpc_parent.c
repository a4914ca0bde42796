/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent of a differencing disk. Locators tell of it in the words of several platforms; relative names are the ones
 * that can be followed (W2ru: UTF-16, little-endian, specification, Parent Locator). Without one, the name of the
 * parent that every such disk has in its header is looked for beside the image.
 */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/vpc/vpc_image.h"
#include "guest/image/format_open.h"
#include "guest/image/utf16_name.h"

#define LOCATOR_LEN_MAX (2u * FILE_NAME_LEN_MAX)

/* Behind the last slash: headers have whole paths of the machine on which the disk was made. */
static void keep_last_part(struct file_name *name)
{
    uint16_t start = 0;
    for (uint16_t i = 0; i < name->len; i++) {
        start = name->bytes[i] == '/' ? (uint16_t)(i + 1) : start;
    }
    name->len = (uint16_t)(name->len - start);
    memmove(name->bytes, name->bytes + start, name->len);
    name->is_set = name->len > 0;
}

static bool locator_read(struct image *image, const struct vpc_locator *locator, bool *ret_is_found,
                         struct error *error)
{
    uint8_t units[LOCATOR_LEN_MAX];
    *ret_is_found = false;
    if (locator->platform != VPC_PLATFORM_RELATIVE_NAME) {
        return true;
    }
    if (locator->data_len > sizeof(units) || !range_is_within(locator->data_off, locator->data_len, image->file->len)) {
        return error_set(error, ERROR_MALFORMED, NULL, "parent locator: %u bytes at offset 0x%llx", locator->data_len,
                         (unsigned long long)locator->data_off);
    }
    RETURN_IF_FAILED(format_open_read(image, locator->data_off, units, locator->data_len, error));
    *ret_is_found = utf16_name_read((struct span){units, locator->data_len}, UTF16_LITTLE_ENDIAN, &image->backing_name);
    return true;
}

bool vpc_parent_name_read(struct image *image, struct error *error)
{
    const struct vpc_header *header = &vpc_of(image)->header;
    bool is_found = false;
    for (uint32_t i = 0; i < VPC_LOCATOR_COUNT && !is_found; i++) {
        RETURN_IF_FAILED(locator_read(image, &header->locators[i], &is_found, error));
    }
    struct span units = {header->parent_name, sizeof(header->parent_name)};
    if (!is_found && utf16_name_read(units, UTF16_BIG_ENDIAN, &image->backing_name)) {
        keep_last_part(&image->backing_name);
    }
    if (image->backing_name.is_set) {
        /* A fixed parent has nothing at its start that tells what it is. */
        memcpy(image->backing_format, "vpc", sizeof("vpc"));
    }
    return true;
}
