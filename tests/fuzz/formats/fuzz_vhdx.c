/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "fuzz_image.h"
#include "guest/formats/vhdx/vhdx_header.h"
#include "guest/formats/vhdx/vhdx_region.h"

#define SUM_OFF 4u
/* Where an entry of the log says how long it is (2.3.1). */
#define ENTRY_LEN_OFF 8u
#define LOG_UNIT_LEN 4096u

static void sum_set(uint8_t *bytes, uint64_t len)
{
    struct le32 sum;
    memset(bytes + SUM_OFF, 0, sizeof(sum));
    sum = le32_make(crc32c(0, (struct span){bytes, len}));
    memcpy(bytes + SUM_OFF, &sum, sizeof(sum));
}

/* Headers, region tables, and what begins as an entry of a log. */
static void repair(uint8_t *bytes, uint64_t len)
{
    const struct {
        uint64_t off;
        uint64_t len;
    } places[] = {
        {VHDX_HEADER_1_OFF, VHDX_HEADER_LEN},
        {VHDX_HEADER_2_OFF, VHDX_HEADER_LEN},
        {VHDX_REGION_TABLE_1_OFF, VHDX_REGION_TABLE_LEN},
        {VHDX_REGION_TABLE_2_OFF, VHDX_REGION_TABLE_LEN},
    };
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (places[i].off + places[i].len <= len) {
            sum_set(bytes + places[i].off, places[i].len);
        }
    }
    for (uint64_t off = VHDX_MIB; off + LOG_UNIT_LEN <= len; off += LOG_UNIT_LEN) {
        struct le32 entry_len;
        memcpy(&entry_len, bytes + off + ENTRY_LEN_OFF, sizeof(entry_len));
        uint32_t whole_len = le32_get(entry_len);
        if (memcmp(bytes + off, "loge", 4) == 0 && whole_len >= LOG_UNIT_LEN && whole_len <= len - off) {
            sum_set(bytes + off, whole_len);
        }
    }
}

const struct fuzz_format fuzz_format = {.name = "vhdx", .repair = repair};
