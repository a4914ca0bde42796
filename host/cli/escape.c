/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The length of the UTF-8 sequence that `lead` starts, 0 when none does; *ret_bits are its first bits. */
static size_t sequence_len(uint8_t lead, uint32_t *ret_bits)
{
    if (lead < 0x80) {
        *ret_bits = lead;
        return 1;
    }
    if (lead >= 0xc2 && lead < 0xe0) {
        *ret_bits = lead & 0x1f;
        return 2;
    }
    if (lead >= 0xe0 && lead < 0xf0) {
        *ret_bits = lead & 0x0f;
        return 3;
    }
    if (lead >= 0xf0 && lead < 0xf5) {
        *ret_bits = lead & 0x07;
        return 4;
    }
    return 0;
}

/* Decodes the UTF-8 sequence at `text`. Returns its length, or 0 when it is malformed (RFC 3629). */
static size_t sequence_decode(const uint8_t *text, uint32_t *ret_code)
{
    uint32_t code;
    size_t len = sequence_len(text[0], &code);
    for (size_t i = 1; i < len; i++) {
        if ((text[i] & 0xc0) != 0x80) { /* also the terminator */
            return 0;
        }
        code = code << 6 | (text[i] & 0x3f);
    }
    bool is_overlong = (len == 3 && code < 0x800) || (len == 4 && code < 0x10000);
    if (len == 0 || is_overlong || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
        return 0;
    }
    *ret_code = code;
    return len;
}

static bool code_is_harmless(uint32_t code)
{
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) {
        return false; /* C0 and C1 controls, delete */
    }
    if (code == 0x2028 || code == 0x2029) {
        return false; /* line and paragraph separator */
    }
    if ((code >= 0x200e && code <= 0x200f) || code == 0x061c || (code >= 0x202a && code <= 0x202e) ||
        (code >= 0x2066 && code <= 0x2069)) {
        return false; /* writing direction */
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

const char *escape_text(char *target, size_t target_len, const char *text)
{
    const uint8_t *at = (const uint8_t *)text;
    size_t used = 0;
    while (*at != '\0') {
        uint32_t code = 0;
        size_t len = sequence_decode(at, &code);
        if (len > 0 && code_is_harmless(code)) {
            if (used + len >= target_len) {
                break;
            }
            memcpy(target + used, at, len);
            used += len;
            at += len;
            continue;
        }
        /* A harmful character is escaped byte by byte: its other bytes are malformed on their own. */
        if (used + 4 >= target_len) {
            break;
        }
        byte_escape(target + used, *at);
        used += 4;
        at++;
    }
    target[used] = '\0';
    return target;
}
