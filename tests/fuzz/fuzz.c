/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <string.h>

char *fuzz_take_text(struct fuzz_input *input, size_t len)
{
    struct span bytes = fuzz_take_span(input, len);
    const void *end = bytes.len > 0 ? memchr(bytes.data, '\0', bytes.len) : NULL;
    size_t text_len = end != NULL ? (size_t)((const uint8_t *)end - bytes.data) : bytes.len;
    char *text = malloc(text_len + 1);
    FUZZ_ASSERT(text != NULL);
    if (text_len > 0) {
        memcpy(text, bytes.data, text_len);
    }
    text[text_len] = '\0';
    return text;
}

uint8_t *fuzz_memory(unsigned int slot, size_t len)
{
    static uint8_t *slots[FUZZ_SLOTS];
    if (slots[slot] == NULL) {
        slots[slot] = calloc(1, len);
        FUZZ_ASSERT(slots[slot] != NULL);
    }
    return slots[slot];
}

FILE *fuzz_nowhere(void)
{
    static FILE *nowhere;
    if (nowhere == NULL) {
        nowhere = fopen("/dev/null", "we");
        FUZZ_ASSERT(nowhere != NULL);
    }
    return nowhere;
}
