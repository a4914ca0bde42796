/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a VHDX file have in common. Section numbers are those of Microsoft's [MS-VHDX]. */
#ifndef INSTAR_GUEST_FORMATS_VHDX_VHDX_LAYOUT_H
#define INSTAR_GUEST_FORMATS_VHDX_VHDX_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/span.h"

#define VHDX_MIB (1ull << 20)
/* Regions begin and end at multiples of this (2.2.3.2), so do blocks (2.5.1). The first MiB has headers and tables. */
#define VHDX_ALIGNMENT VHDX_MIB
#define VHDX_SECTOR_LEN 512u
/* The format's bound (1.3), and QEMU's. */
#define VHDX_DISK_LEN_MAX (64ull << 40)

/* The bytes as they stand in the file: the first three fields are little-endian. */
struct vhdx_guid {
    uint8_t bytes[16];
};

static inline bool vhdx_guid_equal(const struct vhdx_guid *a, const struct vhdx_guid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static inline bool vhdx_guid_is_zero(const struct vhdx_guid *guid)
{
    static const struct vhdx_guid zero;
    return vhdx_guid_equal(guid, &zero);
}

/* Structures with a checksum have it at offset 4, computed with zeros in its place. `bytes` has 8 at least. */
static inline uint32_t vhdx_checksum(struct span bytes)
{
    static const uint8_t zeros[4];
    uint32_t sum = crc32c(0, (struct span){bytes.data, 4});
    sum = crc32c(sum, (struct span){zeros, sizeof(zeros)});
    return crc32c(sum, (struct span){bytes.data + 8, bytes.len - 8});
}

static inline bool vhdx_checksum_fits(struct span bytes)
{
    struct le32 stored;
    memcpy(&stored, bytes.data + 4, sizeof(stored));
    return vhdx_checksum(bytes) == le32_get(stored);
}

/* Sets it in a structure of `len` bytes. */
static inline void vhdx_checksum_set(uint8_t *bytes, size_t len)
{
    struct le32 sum = le32_make(vhdx_checksum((struct span){bytes, len}));
    memcpy(bytes + 4, &sum, sizeof(sum));
}

#endif
