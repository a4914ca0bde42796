/* SPDX-License-Identifier: Apache-2.0 */
#include "base/number_text.h"

#include <string.h>

#include "base/checked.h"

/* Value of a digit, or 16. */
static uint64_t digit_value(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return (uint64_t)(digit - '0');
    }
    if (digit >= 'a' && digit <= 'f') {
        return (uint64_t)(digit - 'a') + 10;
    }
    return digit >= 'A' && digit <= 'F' ? (uint64_t)(digit - 'A') + 10 : 16;
}

/* Reads digits up to the first character that is none; there must be one. */
static enum size_text digits_read(const char *text, uint64_t base, uint64_t *ret_number, const char **ret_end)
{
    uint64_t number = 0;
    bool fits = true;
    const char *at = text;
    for (; digit_value(*at) < base; at++) {
        fits = fits && checked_multiply(number, base, &number) && checked_add(number, digit_value(*at), &number);
    }
    if (at == text) {
        return SIZE_MALFORMED;
    }
    *ret_number = number;
    *ret_end = at;
    return fits ? SIZE_SOUND : SIZE_TOO_LARGE;
}

bool number_parse(const char *text, uint64_t *ret_number)
{
    uint64_t number;
    const char *end;
    if (digits_read(text, 10, &number, &end) != SIZE_SOUND || *end != '\0') {
        return false;
    }
    *ret_number = number;
    return true;
}

/* The unit at the end of a size, as a power of two. */
static bool unit_parse(const char *text, unsigned int *ret_bits)
{
    static const char letters[] = "bkmgtpe";
    if (text[0] == '\0') {
        *ret_bits = 0;
        return true;
    }
    char letter = text[0] >= 'A' && text[0] <= 'Z' ? (char)(text[0] - 'A' + 'a') : text[0];
    const char *found = strchr(letters, letter);
    if (found == NULL || text[1] != '\0') {
        return false;
    }
    *ret_bits = 10 * (unsigned int)(found - letters);
    return true;
}

/* Digits after the point, as a fraction of 2^60; those that cannot matter are checked and skipped. */
static const char *fraction_parse(const char *text, uint64_t *ret_fraction)
{
    const double one = (double)(1ull << 60);
    double weight = 0.1;
    double fraction = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        fraction += weight * (*at - '0');
        weight /= 10;
    }
    *ret_fraction = (uint64_t)(fraction * one);
    return at;
}

enum size_text size_read(const char *text, uint64_t *ret_len)
{
    uint64_t whole = 0;
    uint64_t fraction = 0;
    const char *end = text;
    bool is_hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    enum size_text digits = digits_read(is_hexadecimal ? text + 2 : text, is_hexadecimal ? 16 : 10, &whole, &end);
    if (digits == SIZE_MALFORMED) {
        return SIZE_MALFORMED;
    }
    if (*end == '.' && !is_hexadecimal) {
        end = fraction_parse(end + 1, &fraction);
    }
    unsigned int bits;
    uint64_t len;
    if (!unit_parse(end, &bits) || (bits == 0 && fraction != 0)) {
        return SIZE_MALFORMED;
    }
    bool fits = digits == SIZE_SOUND && checked_multiply(whole, 1ull << bits, &len) &&
                checked_add(len, fraction >> (60 - bits), ret_len);
    return fits ? SIZE_SOUND : SIZE_TOO_LARGE;
}

enum size_text size_read_loosely(const char *text, uint64_t *ret_len)
{
    text += strspn(text, " \t\n\v\f\r");
    return size_read(text + (text[0] == '+'), ret_len);
}

bool size_parse(const char *text, uint64_t *ret_len)
{
    return size_read(text, ret_len) == SIZE_SOUND;
}
