/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/endian.h"
#include "fuzz_image.h"
#include "guest/formats/vpc/vpc_footer.h"

/* Checksum of the footer. */
#define SUM_OFF 64u

/* Both footers; the header's sum nobody looks at. */
static void repair(uint8_t *bytes, uint64_t len)
{
    const uint64_t places[] = {0, len >= VPC_FOOTER_LEN ? len - VPC_FOOTER_LEN : 0};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && len >= VPC_FOOTER_LEN; i++) {
        uint8_t *footer = bytes + places[i];
        struct be32 sum = be32_make(vpc_checksum((struct span){footer, VPC_FOOTER_LEN}, SUM_OFF));
        memcpy(footer + SUM_OFF, &sum, sizeof(sum));
    }
}

const struct fuzz_format fuzz_format = {.name = "vpc", .repair = repair};
