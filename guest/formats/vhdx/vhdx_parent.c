/* SPDX-License-Identifier: Apache-2.0 */
/* The parent of a differencing disk (2.6.2.6): pairs of keys and values in UTF-16. */
#include "base/checked.h"
#include "guest/formats/vhdx/vhdx_image.h"
#include "guest/image/format_open.h"
#include "guest/image/utf16_name.h"

#define LOCATOR_LEN_MAX 65536u
#define PAIRS_MAX 64u
#define KEY_LEN_MAX 64u
/* "{B04AEFB7-D19E-4A81-B789-25B8E9445913}" as it stands in a value: 38 characters. */
#define GUID_TEXT_LEN 38u

/* B04AEFB7-D19E-4A81-B789-25B8E9445913: a parent that is a VHDX. */
static const struct vhdx_guid vhdx_locator_id = {
    {0xb7, 0xef, 0x4a, 0xb0, 0x9e, 0xd1, 0x81, 0x4a, 0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13}};

struct locator_disk {
    struct vhdx_guid type;
    struct le16 reserved;
    struct le16 pair_count;
};

struct pair_disk {
    struct le32 key_off; /* from the item's start, as the next one */
    struct le32 value_off;
    struct le16 key_len; /* bytes */
    struct le16 value_len;
};

/* The value of `key`, an ASCII word: *ret_len bytes of UTF-16, 0 if there is none. */
static bool value_find(struct image *image, const char *key, uint8_t *value, size_t value_max, size_t *ret_len,
                       struct error *error)
{
    struct vhdx_region item = vhdx_of(image)->metadata.locator;
    struct locator_disk locator;
    *ret_len = 0;
    if (item.len < sizeof(locator) || item.len > LOCATOR_LEN_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "parent locator: %llu bytes", (unsigned long long)item.len);
    }
    RETURN_IF_FAILED(format_open_read(image, item.off, &locator, sizeof(locator), error));
    uint32_t count = le16_get(locator.pair_count);
    if (!vhdx_guid_equal(&locator.type, &vhdx_locator_id) || count > PAIRS_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "parent locator: of another type, or with %u pairs", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct pair_disk pair;
        uint8_t text[2 * KEY_LEN_MAX];
        struct file_name name;
        uint64_t pair_off = sizeof(locator) + (uint64_t)i * sizeof(pair);
        if (!range_is_within(pair_off, sizeof(pair), item.len)) {
            return error_set(error, ERROR_MALFORMED, NULL, "parent locator: pair %u is behind its end", i);
        }
        RETURN_IF_FAILED(format_open_read(image, item.off + pair_off, &pair, sizeof(pair), error));
        uint32_t key_len = le16_get(pair.key_len);
        uint32_t value_len = le16_get(pair.value_len);
        if (!range_is_within(le32_get(pair.key_off), key_len, item.len) ||
            !range_is_within(le32_get(pair.value_off), value_len, item.len)) {
            return error_set(error, ERROR_MALFORMED, NULL, "parent locator: pair %u leads behind its end", i);
        }
        if (key_len > sizeof(text) || value_len > value_max) {
            continue;
        }
        RETURN_IF_FAILED(format_open_read(image, item.off + le32_get(pair.key_off), text, key_len, error));
        if (utf16_name_read((struct span){text, key_len}, UTF16_LITTLE_ENDIAN, &name) && name.len == strlen(key) &&
            memcmp(name.bytes, key, name.len) == 0) {
            *ret_len = value_len;
            return format_open_read(image, item.off + le32_get(pair.value_off), value, value_len, error);
        }
    }
    return true;
}

bool vhdx_parent_read(struct image *image, struct error *error)
{
    static uint8_t value[2 * FILE_NAME_LEN_MAX]; /* large: vCPU 0 only */
    size_t len;
    RETURN_IF_FAILED(value_find(image, "relative_path", value, sizeof(value), &len, error));
    if (utf16_name_read((struct span){value, len}, UTF16_LITTLE_ENDIAN, &image->backing_name)) {
        memcpy(image->backing_format, "vhdx", sizeof("vhdx"));
        return true;
    }
    if (image->purpose == IMAGE_TO_DESCRIBE || image_purpose_is_check(image->purpose)) {
        return true;
    }
    return error_set(error, ERROR_UNSUPPORTED, NULL, "the parent of this differencing disk has no name to follow");
}

/* Returns 16 for what is no digit. */
static uint32_t digit_value(uint8_t c)
{
    return c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
           : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
           : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                  : 16;
}

/* "{XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX}": where the digits of the bytes are, in the order of the file. */
static bool guid_parse(const struct file_name *text, struct vhdx_guid *ret_guid)
{
    static const uint8_t places[16] = {7, 5, 3, 1, 12, 10, 17, 15, 20, 22, 25, 27, 29, 31, 33, 35};
    if (text->len != GUID_TEXT_LEN || text->bytes[0] != '{') {
        return false;
    }
    for (size_t i = 0; i < sizeof(places); i++) {
        uint32_t high = digit_value(text->bytes[places[i]]);
        uint32_t low = digit_value(text->bytes[places[i] + 1]);
        if (high > 15 || low > 15) {
            return false;
        }
        ret_guid->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* The child has what the parent's header said of its content when the child was made. */
bool vhdx_accepts_backing(const struct image *image)
{
    static const char *const keys[] = {"parent_linkage", "parent_linkage2"};
    struct image *child = image->backing->format == image->format ? (struct image *)image : NULL;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && child != NULL; i++) {
        uint8_t value[2 * (GUID_TEXT_LEN + 1)];
        size_t len;
        struct file_name text;
        struct vhdx_guid guid;
        struct error error;
        if (value_find(child, keys[i], value, sizeof(value), &len, &error) &&
            utf16_name_read((struct span){value, len}, UTF16_LITTLE_ENDIAN, &text) && guid_parse(&text, &guid) &&
            vhdx_guid_equal(&guid, &vhdx_of(image->backing)->header.data_write_id)) {
            return true;
        }
    }
    return false;
}

/* As guid_parse has it, in the case of the specification's example (2.6.2.6.3). */
static void guid_text(const struct vhdx_guid *guid, struct file_name *ret_text)
{
    static const char order[] = "{3210-54-76-89-abcdef}"; /* bytes of the file, by their digits */
    static const char digits[] = "0123456789abcdef";      /* libvhdi knows no others */
    *ret_text = (struct file_name){.is_set = true};
    for (size_t i = 0; order[i] != '\0'; i++) {
        uint32_t byte = digit_value((uint8_t)order[i]);
        if (byte < sizeof(guid->bytes)) {
            ret_text->bytes[ret_text->len++] = (uint8_t)digits[guid->bytes[byte] >> 4];
            ret_text->bytes[ret_text->len++] = (uint8_t)digits[guid->bytes[byte] & 15];
        } else {
            ret_text->bytes[ret_text->len++] = (uint8_t)order[i];
        }
    }
}

/* Adds a text, without a NUL (2.6.2.6.2). */
static bool text_add(const struct file_name *text, uint8_t *bytes, uint32_t *len, struct le32 *ret_off,
                     struct le16 *ret_len)
{
    size_t text_len;
    if (!utf16_name_write(text, UTF16_LITTLE_ENDIAN, bytes + *len, VHDX_NEW_LOCATOR_LEN_MAX - *len, &text_len)) {
        return false;
    }
    *ret_off = le32_make(*len);
    *ret_len = (struct le16){{(uint8_t)text_len, (uint8_t)(text_len >> 8)}};
    *len += (uint32_t)text_len;
    return true;
}

static struct file_name key_name(const char *key)
{
    struct file_name name = {.is_set = true, .len = (uint16_t)strlen(key)};
    memcpy(name.bytes, key, name.len);
    return name;
}

bool vhdx_locator_emit(const struct image *parent, const struct file_name *name, uint8_t *ret_bytes, uint32_t *ret_len)
{
    static struct file_name keys[2], values[2]; /* large: vCPU 0 only */
    struct locator_disk locator = {.type = vhdx_locator_id, .pair_count = {{2, 0}}};
    struct pair_disk pairs[2];
    uint32_t len = sizeof(locator) + sizeof(pairs);
    keys[0] = key_name("parent_linkage");
    guid_text(&vhdx_of(parent)->header.data_write_id, &values[0]);
    keys[1] = key_name("relative_path");
    values[1] = *name;
    for (size_t i = 0; i < 2; i++) {
        if (!text_add(&keys[i], ret_bytes, &len, &pairs[i].key_off, &pairs[i].key_len) ||
            !text_add(&values[i], ret_bytes, &len, &pairs[i].value_off, &pairs[i].value_len)) {
            return false;
        }
    }
    memcpy(ret_bytes, &locator, sizeof(locator));
    memcpy(ret_bytes + sizeof(locator), pairs, sizeof(pairs));
    *ret_len = len;
    return true;
}
