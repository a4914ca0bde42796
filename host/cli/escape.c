/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/attributes.h"
#include "host/cli/utf8.h"

/*
 * What does something to text instead of being seen in it: controls, separators of lines, changes of the writing
 * direction; and what shows nothing at all, by which two names look the same (Unicode's property
 * Default_Ignorable_Code_Point, and the annotation marks).
 */
static const struct {
    uint32_t first;
    uint32_t last;
} harmful[] = {
    {0x00, 0x1f},     {0x7f, 0x9f},       {0xad, 0xad},       {0x34f, 0x34f},     {0x61c, 0x61c},
    {0x115f, 0x1160}, {0x17b4, 0x17b5},   {0x180b, 0x180f},   {0x200b, 0x200f},   {0x2028, 0x202e},
    {0x2060, 0x206f}, {0x3164, 0x3164},   {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},
    {0xfff0, 0xfffb}, {0x13430, 0x1343f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
};

static bool code_is_harmless(uint32_t code)
{
    for (size_t i = 0; i < ARRAY_COUNT(harmful) && code >= harmful[i].first; i++) {
        if (code <= harmful[i].last) {
            return false;
        }
    }
    return true;
}

static void byte_escape(char target[4], uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    target[0] = '\\';
    target[1] = 'x';
    target[2] = digits[byte >> 4];
    target[3] = digits[byte & 15];
}

const char *escape_bytes(char *target, size_t target_len, struct span bytes)
{
    size_t off = 0;
    size_t used = 0;
    while (off < bytes.len) {
        uint32_t code = 0;
        size_t len = utf8_decode((struct span){bytes.data + off, bytes.len - off}, &code);
        if (len > 0 && code_is_harmless(code)) {
            if (used + len >= target_len) {
                break;
            }
            memcpy(target + used, bytes.data + off, len);
            used += len;
            off += len;
            continue;
        }
        /* A harmful character is escaped byte by byte: its other bytes are malformed on their own. */
        if (used + 4 >= target_len) {
            break;
        }
        byte_escape(target + used, bytes.data[off]);
        used += 4;
        off++;
    }
    target[used] = '\0';
    return target;
}

const char *escape_text(char *target, size_t target_len, const char *text)
{
    return escape_bytes(target, target_len, (struct span){(const uint8_t *)text, strlen(text)});
}
