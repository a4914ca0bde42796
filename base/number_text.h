/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and sizes as users write them, on the command line and in options of formats. */
#ifndef INSTAR_BASE_NUMBER_TEXT_H
#define INSTAR_BASE_NUMBER_TEXT_H

#include <stdbool.h>
#include <stdint.h>

/* A decimal number of digits only: no sign, no space, nothing after it. False when it is none or too large. */
bool number_parse(const char *text, uint64_t *ret_number);

/*
 * A size in bytes, as qemu-img reads it: decimal digits, a fraction if a unit follows, or 0x and hexadecimal digits;
 * and one of the units b, k, m, g, t, p, e in either case (powers of 1024). False when it is none or too large.
 */
bool size_parse(const char *text, uint64_t *ret_len);

/* The same, and what is wrong with it otherwise. */
enum size_text {
    SIZE_SOUND,
    SIZE_MALFORMED,
    SIZE_TOO_LARGE, /* 2^64 or more */
};
enum size_text size_read(const char *text, uint64_t *ret_len);
/* The same with blanks and a plus before it, as strtoull takes them, by which QEMU reads sizes. */
enum size_text size_read_loosely(const char *text, uint64_t *ret_len);

#endif
