/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vmdk/vmdk_descriptor.h"

#include <string.h>

#include "base/attributes.h"
#include "base/units.h"

/* Longer words are none of ours: QEMU cuts them, and they are not any that it knows then. */
#define WORD_LEN_MAX 10u

static const char *const type_names[] = {
    [VMDK_EXTENT_FLAT] = "FLAT",         [VMDK_EXTENT_VMFS] = "VMFS",
    [VMDK_EXTENT_SPARSE] = "SPARSE",     [VMDK_EXTENT_VMFSSPARSE] = "VMFSSPARSE",
    [VMDK_EXTENT_SESPARSE] = "SESPARSE", [VMDK_EXTENT_ZERO] = "ZERO",
};

const char *vmdk_extent_type_name(enum vmdk_extent_type type)
{
    return type_names[type];
}

struct span vmdk_descriptor_text(struct span bytes)
{
    const uint8_t *end = bytes.len > 0 ? memchr(bytes.data, 0, bytes.len) : NULL;
    return end != NULL ? (struct span){bytes.data, (size_t)(end - bytes.data)} : bytes;
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static bool is_word(struct span word, const char *text)
{
    return word.len == strlen(text) && memcmp(word.data, text, word.len) == 0;
}

/* Where the first `key` of the text stands; its end when there is none. */
static size_t find_key(struct span text, const char *key, size_t key_len)
{
    for (size_t off = 0; off + key_len <= text.len; off++) {
        if (memcmp(text.data + off, key, key_len) == 0) {
            return off;
        }
    }
    return text.len;
}

/* What follows the first `key` of the text, `skipped` more bytes left out; false when there is no such thing. */
static bool find_value(struct span text, const char *key, size_t skipped, struct span *ret_rest)
{
    size_t key_len = strlen(key);
    size_t off = find_key(text, key, key_len) + key_len;
    return span_slice(text, off + skipped, text.len - min_u64(text.len, off + skipped), ret_rest);
}

/* The bytes up to a quotation mark; false when there is none. */
static bool take_quoted(struct span rest, struct span *ret_value)
{
    const uint8_t *end = rest.len > 0 ? memchr(rest.data, '"', rest.len) : NULL;
    if (end == NULL) {
        return false;
    }
    *ret_value = (struct span){rest.data, (size_t)(end - rest.data)};
    return true;
}

bool vmdk_descriptor_create_type(struct span text, struct span *ret_type)
{
    struct span rest;
    struct span type;
    if (!find_value(text, "createType", sizeof("=\"") - 1, &rest) || !take_quoted(rest, &type) ||
        type.len > VMDK_CREATE_TYPE_LEN_MAX) {
        return false;
    }
    *ret_type = type;
    return true;
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    uint8_t lower = byte | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* A hexadecimal number as scanf reads one: blanks, a sign, 0x; what does not fit is cut to 32 bits of 64 ones. */
static bool take_hex(struct span rest, uint32_t *ret_value)
{
    size_t off = 0;
    while (off < rest.len && is_blank(rest.data[off])) { /* ends with the text */
        off++;
    }
    bool is_negative = off < rest.len && rest.data[off] == '-';
    off += off < rest.len && (rest.data[off] == '-' || rest.data[off] == '+') ? 1 : 0;
    if (rest.len - off > 2 && rest.data[off] == '0' && (rest.data[off + 1] | 0x20) == 'x' &&
        hex_digit(rest.data[off + 2]) >= 0) {
        off += 2;
    }
    uint64_t value = 0;
    bool is_too_large = false;
    size_t start = off;
    while (off < rest.len && hex_digit(rest.data[off]) >= 0) { /* ends with the text */
        is_too_large = is_too_large || value >> 60 != 0;
        value = value << 4 | (uint64_t)hex_digit(rest.data[off]);
        off++;
    }
    if (off == start) {
        return false;
    }
    *ret_value = is_too_large ? UINT32_MAX : (uint32_t)(is_negative ? 0 - value : value);
    return true;
}

bool vmdk_descriptor_cid(struct span text, uint32_t *ret_cid)
{
    struct span rest;
    return find_value(text, "CID", sizeof("=") - 1, &rest) && take_hex(rest, ret_cid);
}

bool vmdk_descriptor_parent_cid(struct span text, uint32_t *ret_cid)
{
    struct span rest;
    return find_value(text, "parentCID", sizeof("=") - 1, &rest) && take_hex(rest, ret_cid);
}

bool vmdk_descriptor_parent(struct span text, struct span *ret_name)
{
    static const char key[] = "parentFileNameHint";
    struct span rest;
    if (!find_value(text, key, 0, &rest)) {
        *ret_name = (struct span){0};
        return true;
    }
    return find_value(text, key, sizeof("=\"") - 1, &rest) && take_quoted(rest, ret_name);
}

/* A line, while it is read. */
struct line {
    struct span text;
    size_t off;
};

static void skip_blanks(struct line *line)
{
    while (line->off < line->text.len && is_blank(line->text.data[line->off])) { /* ends with the line */
        line->off++;
    }
}

static struct span take_word(struct line *line)
{
    skip_blanks(line);
    size_t start = line->off;
    while (line->off < line->text.len && !is_blank(line->text.data[line->off])) { /* ends with the line */
        line->off++;
    }
    return (struct span){line->text.data + start, line->off - start};
}

/* A decimal number; one that is too large is INT64_MAX. False when there is none. */
static bool take_number(struct line *line, bool *ret_is_negative, uint64_t *ret_value)
{
    skip_blanks(line);
    size_t off = line->off;
    const struct span *text = &line->text;
    bool has_sign = off < text->len && (text->data[off] == '-' || text->data[off] == '+');
    *ret_is_negative = has_sign && text->data[off] == '-';
    off += has_sign ? 1 : 0;
    size_t start = off;
    uint64_t value = 0;
    while (off < text->len && text->data[off] >= '0' && text->data[off] <= '9') { /* ends with the line */
        uint64_t digit = text->data[off] - (uint64_t)'0';
        value = value > (INT64_MAX - digit) / 10 ? INT64_MAX : value * 10 + digit;
        off++;
    }
    if (off == start) {
        return false;
    }
    line->off = off;
    *ret_value = value;
    return true;
}

static bool find_type(struct span word, enum vmdk_extent_type *ret_type)
{
    for (size_t i = 0; i < ARRAY_COUNT(type_names); i++) {
        if (is_word(word, type_names[i])) {
            *ret_type = (enum vmdk_extent_type)i;
            return true;
        }
    }
    return false;
}

static bool invalid(unsigned int number, struct error *error)
{
    return error_set(error, ERROR_MALFORMED, NULL, "Invalid extent line: line %u of the descriptor", number);
}

/* The name in quotation marks, and the offset behind it that FLAT has, and no other type. */
static bool parse_file(struct line *line, struct vmdk_extent_line *extent)
{
    skip_blanks(line);
    struct span rest = {line->text.data + line->off, line->text.len - line->off};
    if (rest.len == 0 || rest.data[0] != '"' ||
        !take_quoted((struct span){rest.data + 1, rest.len - 1}, &extent->name) || extent->name.len == 0 ||
        extent->name.len > VMDK_EXTENT_NAME_LEN_MAX) {
        return false;
    }
    line->off += extent->name.len + 2;
    bool is_negative;
    uint64_t off_sectors = 0;
    bool has_off = take_number(line, &is_negative, &off_sectors);
    if (has_off != (extent->type == VMDK_EXTENT_FLAT) || (has_off && is_negative)) {
        return false;
    }
    return checked_multiply(off_sectors, SECTOR_LEN, &extent->flat_off) && extent->flat_off <= INT64_MAX;
}

/* Sets *ret_is_extent when the line is one of an extent. */
static bool parse_line(struct span text, unsigned int number, bool *ret_is_extent, struct vmdk_extent_line *ret_extent,
                       struct error *error)
{
    struct line line = {.text = text};
    struct vmdk_extent_line extent = {.has_access = true};
    bool is_negative;
    *ret_is_extent = false;
    struct span access = take_word(&line);
    if (is_word(access, "NOACCESS")) {
        extent.has_access = false;
    } else if (is_word(access, "RDONLY")) {
        extent.is_read_only = true;
    } else if (!is_word(access, "RW")) {
        return true;
    }
    if (!take_number(&line, &is_negative, &extent.sectors)) {
        return invalid(number, error);
    }
    struct span type = take_word(&line);
    if (type.len > WORD_LEN_MAX || !find_type(type, &extent.type)) {
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "Unsupported extent type: line %u of the descriptor has none that is known", number);
    }
    if (extent.type != VMDK_EXTENT_ZERO && !parse_file(&line, &extent)) {
        return invalid(number, error);
    }
    if (is_negative || extent.sectors == 0) {
        return true; /* as in QEMU, an empty one is none */
    }
    if (extent.sectors > INT64_MAX / SECTOR_LEN) {
        return invalid(number, error);
    }
    *ret_is_extent = true;
    *ret_extent = extent;
    return true;
}

/* The number of the line that begins at `pos`, the first one is 1. For errors only. */
static unsigned int line_number(struct span text, size_t pos)
{
    unsigned int number = 1;
    for (size_t i = 0; i < pos; i++) {
        number += text.data[i] == '\n' ? 1 : 0;
    }
    return number;
}

bool vmdk_descriptor_next_extent(struct span text, size_t *pos, bool *ret_found, struct vmdk_extent_line *ret_line,
                                 struct error *error)
{
    bool is_extent = false;
    while (*pos < text.len && !is_extent) { /* ends: each round takes a line */
        size_t start = *pos;
        const uint8_t *newline = memchr(text.data + start, '\n', text.len - start);
        size_t end = newline != NULL ? (size_t)(newline - text.data) : text.len;
        *pos = newline != NULL ? end + 1 : end;
        struct span line = {text.data + start, end - start};
        struct error failure = {0};
        if (!parse_line(line, 0, &is_extent, ret_line, &failure)) {
            return parse_line(line, line_number(text, start), &is_extent, ret_line, error);
        }
    }
    *ret_found = is_extent;
    return true;
}
