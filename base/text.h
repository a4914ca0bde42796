/* SPDX-License-Identifier: Apache-2.0 */
/* Text in fields of fixed size. */
#ifndef INSTAR_BASE_TEXT_H
#define INSTAR_BASE_TEXT_H

#include <stddef.h>
#include <string.h>

/* Copies `text` to a field of `field_len` bytes (at least 1), cut when longer; always NUL-terminated. */
static inline void text_copy(char *field, size_t field_len, const char *text)
{
    size_t len = strnlen(text, field_len - 1);
    memcpy(field, text, len);
    field[len] = '\0';
}

#endif
