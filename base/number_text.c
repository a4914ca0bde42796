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
static bool digits_parse(const char *text, uint64_t base, uint64_t *ret_number, const char **ret_end)
{
    uint64_t number = 0;
    const char *at = text;
    for (; digit_value(*at) < base; at++) {
        if (!checked_multiply(number, base, &number) || !checked_add(number, digit_value(*at), &number)) {
            return false;
        }
    }
    if (at == text) {
        return false;
    }
    *ret_number = number;
    *ret_end = at;
    return true;
}

bool number_parse(const char *text, uint64_t *ret_number)
{
    uint64_t number;
    const char *end;
    if (!digits_parse(text, 10, &number, &end) || *end != '\0') {
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

bool size_parse(const char *text, uint64_t *ret_len)
{
    uint64_t whole;
    uint64_t fraction = 0;
    const char *end;
    bool is_hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    if (!digits_parse(is_hexadecimal ? text + 2 : text, is_hexadecimal ? 16 : 10, &whole, &end)) {
        return false;
    }
    if (*end == '.' && !is_hexadecimal) {
        end = fraction_parse(end + 1, &fraction);
    }
    unsigned int bits;
    uint64_t len;
    if (!unit_parse(end, &bits) || (bits == 0 && fraction != 0) || !checked_multiply(whole, 1ull << bits, &len)) {
        return false;
    }
    return checked_add(len, fraction >> (60 - bits), ret_len);
}
