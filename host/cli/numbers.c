/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/numbers.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"

/* Reads digits up to the first character that is none. */
static bool digits_parse(const char *text, uint64_t *ret_number, const char **ret_end)
{
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (!checked_multiply(number, 10, &number) || !checked_add(number, (uint64_t)(*at - '0'), &number)) {
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
    if (!digits_parse(text, &number, &end) || *end != '\0') {
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

/* Digits after "0x", to the end of the text. */
static bool hexadecimal_parse(const char *text, uint64_t *ret_number)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t number = 0;
    for (const char *at = text; *at != '\0'; at++) {
        char letter = *at >= 'A' && *at <= 'F' ? (char)(*at - 'A' + 'a') : *at;
        const char *digit = strchr(digits, letter);
        if (digit == NULL || !checked_multiply(number, 16, &number)) {
            return false;
        }
        number += (uint64_t)(digit - digits);
    }
    if (text[0] == '\0') {
        return false;
    }
    *ret_number = number;
    return true;
}

bool size_parse(const char *text, uint64_t *ret_len)
{
    uint64_t whole;
    uint64_t fraction = 0;
    const char *end;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        return hexadecimal_parse(text + 2, ret_len);
    }
    if (!digits_parse(text, &whole, &end)) {
        return false;
    }
    if (*end == '.') {
        end = fraction_parse(end + 1, &fraction);
    }
    unsigned int bits;
    uint64_t len;
    if (!unit_parse(end, &bits) || (bits == 0 && fraction != 0) || !checked_multiply(whole, 1ull << bits, &len)) {
        return false;
    }
    return checked_add(len, fraction >> (60 - bits), ret_len);
}

const char *size_format(char text[SIZE_TEXT_LEN], uint64_t len)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    double value = (double)len;
    /* From 1000 on the next unit, so that three digits are enough. */
    while (value >= 1000) {
        value /= 1024;
        unit++;
    }
    snprintf(text, SIZE_TEXT_LEN, "%.3g %s", value, units[unit]);
    return text;
}
