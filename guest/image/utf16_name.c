/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/utf16_name.h"

#include <stdint.h>
#include <string.h>

#include "base/endian.h"

#define UNIT_LEN 2u
#define UTF8_LEN_MAX 4u

static uint32_t unit_get(struct span units, size_t index, enum utf16_order order)
{
    struct le16 le;
    struct be16 be;
    memcpy(&le, units.data + index * UNIT_LEN, sizeof(le));
    memcpy(&be, units.data + index * UNIT_LEN, sizeof(be));
    return order == UTF16_LITTLE_ENDIAN ? le16_get(le) : be16_get(be);
}

static bool is_high_surrogate(uint32_t unit)
{
    return unit >= 0xd800 && unit < 0xdc00;
}

static bool is_low_surrogate(uint32_t unit)
{
    return unit >= 0xdc00 && unit < 0xe000;
}

/* Takes one or two units of `count` at *index. False for half of a pair. */
static bool point_get(struct span units, size_t count, enum utf16_order order, size_t *index, uint32_t *ret_point)
{
    uint32_t unit = unit_get(units, (*index)++, order);
    if (is_low_surrogate(unit)) {
        return false;
    }
    if (is_high_surrogate(unit)) {
        uint32_t low = *index < count ? unit_get(units, (*index)++, order) : 0;
        if (!is_low_surrogate(low)) {
            return false;
        }
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
    *ret_point = unit == '\\' ? '/' : unit;
    return true;
}

/* Returns the number of bytes written, UTF8_LEN_MAX at most. */
static uint32_t utf8_put(uint8_t *target, uint32_t point)
{
    if (point < 0x80) {
        target[0] = (uint8_t)point;
        return 1;
    }
    uint32_t more_count = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;               /* bytes behind the first one */
    target[0] = (uint8_t)((0x780 >> more_count & 0xff) | point >> (6 * more_count)); /* 110x, 1110, 11110 */
    for (uint32_t i = 1; i <= more_count; i++) {
        target[i] = (uint8_t)(0x80 | (point >> (6 * (more_count - i)) & 0x3f));
    }
    return more_count + 1;
}

static bool leads_elsewhere(const struct file_name *name)
{
    return (name->len >= 2 && name->bytes[1] == ':') || (name->len >= 2 && memcmp(name->bytes, "//", 2) == 0);
}

bool utf16_name_read(struct span units, enum utf16_order order, struct file_name *ret_name)
{
    struct file_name name = {.is_set = true};
    size_t count = units.len / UNIT_LEN;
    for (size_t index = 0; index < count;) { /* ends: each round takes a unit */
        uint32_t point;
        if (!point_get(units, count, order, &index, &point)) {
            return false;
        }
        if (point == 0) {
            break;
        }
        if (name.len + UTF8_LEN_MAX > sizeof(name.bytes)) {
            return false;
        }
        name.len = (uint16_t)(name.len + utf8_put(name.bytes + name.len, point));
    }
    if (name.len == 0 || leads_elsewhere(&name)) {
        return false;
    }
    *ret_name = name;
    return true;
}

/* Takes a code point of one to four bytes at *index. False for what is none. */
static bool utf8_get(const struct file_name *name, uint32_t *index, uint32_t *ret_point)
{
    static const uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    uint8_t first = name->bytes[(*index)++];
    uint32_t more_count = first < 0x80 ? 0 : first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    uint32_t point = more_count == 0 ? first : first & (0x3fu >> more_count);
    if ((first >= 0x80 && first < 0xc0) || first >= 0xf8 || name->len - *index < more_count) {
        return false;
    }
    for (uint32_t i = 0; i < more_count; i++) {
        uint8_t byte = name->bytes[(*index)++];
        if ((byte & 0xc0) != 0x80) {
            return false;
        }
        point = point << 6 | (byte & 0x3f);
    }
    *ret_point = point == '/' ? '\\' : point;
    return point >= smallest[more_count] && point < 0x110000 && (point < 0xd800 || point >= 0xe000);
}

static void unit_put(uint8_t *target, uint32_t unit, enum utf16_order order)
{
    target[order == UTF16_LITTLE_ENDIAN ? 0 : 1] = (uint8_t)unit;
    target[order == UTF16_LITTLE_ENDIAN ? 1 : 0] = (uint8_t)(unit >> 8);
}

bool utf16_name_write(const struct file_name *name, enum utf16_order order, uint8_t *target, size_t len_max,
                      size_t *ret_len)
{
    size_t len = 0;
    for (uint32_t index = 0; index < name->len;) { /* ends: each round takes a byte */
        uint32_t point;
        if (!utf8_get(name, &index, &point) || len_max - len < (point < 0x10000 ? UNIT_LEN : 2 * UNIT_LEN)) {
            return false;
        }
        if (point >= 0x10000) {
            unit_put(target + len, 0xd800 + ((point - 0x10000) >> 10), order);
            len += UNIT_LEN;
            point = 0xdc00 + ((point - 0x10000) & 0x3ff);
        }
        unit_put(target + len, point, order);
        len += UNIT_LEN;
    }
    *ret_len = len;
    return true;
}
