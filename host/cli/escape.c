/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "host/cli/utf8.h"

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
