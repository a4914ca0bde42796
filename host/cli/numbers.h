/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that users type, and sizes that they read. */
#ifndef INSTAR_HOST_CLI_NUMBERS_H
#define INSTAR_HOST_CLI_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A decimal number of digits only: no sign, no space, nothing after it. False when it is none or too large. */
bool number_parse(const char *text, uint64_t *ret_number);

/*
 * A size in bytes, as qemu-img reads it: decimal digits, a fraction if a unit follows, and one of the units b, k, K, m,
 * M, g, G, t, T, p, P, e, E (powers of 1024); or 0x and hexadecimal digits. False when it is none or too large.
 */
bool size_parse(const char *text, uint64_t *ret_len);

/* A size with three digits and a unit, as qemu-img prints it: "1.5 GiB". Returns `text`. */
#define SIZE_TEXT_LEN 16
const char *size_format(char text[SIZE_TEXT_LEN], uint64_t len);

#endif
