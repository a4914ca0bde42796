/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/numbers.h"

#include <stdio.h>

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
