/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/dmg/dmg_plist.h"

static const char begin_tag[] = "<data>";
static const char end_tag[] = "</data>";

/* RFC 4648, 4. */
static bool base64_value(uint8_t character, uint32_t *ret_value)
{
    if (character >= 'A' && character <= 'Z') {
        *ret_value = character - 'A';
    } else if (character >= 'a' && character <= 'z') {
        *ret_value = character - 'a' + 26u;
    } else if (character >= '0' && character <= '9') {
        *ret_value = character - '0' + 52u;
    } else if (character == '+' || character == '/') {
        *ret_value = character == '+' ? 62 : 63;
    } else {
        return false;
    }
    return true;
}

/* What is not of the alphabet is passed over. Bytes that are filled up with '=' do not count. */
static bool feed_character(struct dmg_plist *plist, uint8_t character, struct error *error)
{
    uint32_t value = 0;
    if (character == '=') {
        plist->pad_count++;
    } else if (!base64_value(character, &value)) {
        return true;
    } else {
        plist->pad_count = 0;
    }
    plist->word = plist->word << 6 | value;
    if (++plist->word_len < 4) {
        return true;
    }
    const uint8_t bytes[] = {(uint8_t)(plist->word >> 16), (uint8_t)(plist->word >> 8), (uint8_t)plist->word};
    struct span made = {bytes, plist->pad_count == 0 ? 3 : plist->pad_count == 1 ? 2 : 1};
    plist->word = 0;
    plist->word_len = 0;
    plist->pad_count = 0;
    return dmg_chunks_feed(plist->chunks, made, error);
}

/* One character within an element: a part of its end, or data, as is what looked like a part of the end before. */
static bool feed_data(struct dmg_plist *plist, uint8_t character, struct error *error)
{
    if (character == (uint8_t)end_tag[plist->matched]) {
        if (++plist->matched == sizeof(end_tag) - 1) {
            plist->is_data = false;
            plist->matched = 0;
        }
        return true;
    }
    for (uint32_t i = 0; i < plist->matched; i++) {
        RETURN_IF_FAILED(feed_character(plist, (uint8_t)end_tag[i], error));
    }
    plist->matched = character == '<' ? 1 : 0;
    return plist->matched == 1 || feed_character(plist, character, error);
}

bool dmg_plist_feed(struct dmg_plist *plist, struct span text, struct error *error)
{
    for (size_t i = 0; i < text.len && !plist->has_ended; i++) {
        uint8_t character = text.data[i];
        if (character == 0) {
            plist->has_ended = true;
        } else if (plist->is_data) {
            RETURN_IF_FAILED(feed_data(plist, character, error));
        } else if (character != (uint8_t)begin_tag[plist->matched]) {
            plist->matched = character == '<' ? 1 : 0;
        } else if (++plist->matched == sizeof(begin_tag) - 1) {
            plist->is_data = true;
            plist->matched = 0;
            plist->word_len = 0;
            plist->pad_count = 0;
            dmg_chunks_begin(plist->chunks);
        }
    }
    return true;
}

bool dmg_plist_end(const struct dmg_plist *plist, struct error *error)
{
    if (plist->is_data) {
        return error_set(error, ERROR_MALFORMED, NULL, "a data element of the property list has no end");
    }
    return true;
}
