/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/utf8.h"

#include <stdbool.h>

/* The length of the sequence that `lead` starts, 0 when none does; *ret_bits are its first bits. */
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

size_t utf8_decode(struct span bytes, uint32_t *ret_code)
{
    uint32_t code;
    size_t len = sequence_len(bytes.data[0], &code);
    if (len == 0 || len > bytes.len) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((bytes.data[i] & 0xc0) != 0x80) {
            return 0;
        }
        code = code << 6 | (bytes.data[i] & 0x3f);
    }
    bool is_overlong = (len == 3 && code < 0x800) || (len == 4 && code < 0x10000);
    if (is_overlong || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
        return 0;
    }
    *ret_code = code;
    return len;
}
