/* SPDX-License-Identifier: Apache-2.0 */
/* By table, a byte at a time: what is checked are headers and log entries, and no processor feature is needed. */
#include "base/crc32c.h"

#define POLYNOMIAL 0x82f63b78u /* reflected */

/* The remainder of one byte, by its eight bits. */
#define STEP(c) ((c) >> 1 ^ (POLYNOMIAL & (0u - ((c)&1u))))
#define STEP4(c) STEP(STEP(STEP(STEP(c))))

/* Half a byte at a time: 16 remainders, which the compiler works out. */
#define ENTRY(n) STEP4((uint32_t)(n))
static const uint32_t remainders[16] = {
    ENTRY(0), ENTRY(1), ENTRY(2),  ENTRY(3),  ENTRY(4),  ENTRY(5),  ENTRY(6),  ENTRY(7),
    ENTRY(8), ENTRY(9), ENTRY(10), ENTRY(11), ENTRY(12), ENTRY(13), ENTRY(14), ENTRY(15),
};

uint32_t crc32c(uint32_t before, struct span bytes)
{
    uint32_t crc = ~before;
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= bytes.data[i];
        crc = crc >> 4 ^ remainders[crc & 15];
        crc = crc >> 4 ^ remainders[crc & 15];
    }
    return ~crc;
}
