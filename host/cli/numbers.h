/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that users type, and sizes that they read. */
#ifndef INSTAR_HOST_CLI_NUMBERS_H
#define INSTAR_HOST_CLI_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/number_text.h"

/* A size with three digits and a unit, as qemu-img prints it: "1.5 GiB". Returns `text`. */
#define SIZE_TEXT_LEN 16
const char *size_format(char text[SIZE_TEXT_LEN], uint64_t len);

#endif
