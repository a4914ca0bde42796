/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vpc/vpc_footer.h"

#include <stddef.h>
#include <string.h>

#include "base/endian.h"

static const char cookie[8] = {'c', 'o', 'n', 'e', 'c', 't', 'i', 'x'};

struct footer_disk {
    char cookie[8];
    struct be32 features;
    struct be32 version;
    struct be64 header_off;
    struct be32 timestamp;
    char creator[4];
    struct be16 creator_major;
    struct be16 creator_minor;
    char creator_os[4];
    struct be64 original_len;
    struct be64 current_len;
    struct be16 cylinders;
    uint8_t heads;
    uint8_t sectors;
    struct be32 type;
    struct be32 checksum;
    uint8_t unique_id[VPC_ID_LEN];
    uint8_t saved_state;
    uint8_t reserved[427];
};
_Static_assert(sizeof(struct footer_disk) == VPC_FOOTER_LEN, "a footer is a sector");

/* The largest geometry that the fields hold as the specification fills them in: a disk that has it may be larger. */
#define GEOMETRY_SECTORS_MAX (65535ull * 16 * 255)
/* As QEMU bounds disks: 2040 GiB, the most that a table of 32-bit sector numbers leads to. */
#define DISK_SECTORS_MAX 0xff000000u

bool vpc_footer_has_cookie(struct span bytes)
{
    return bytes.len >= sizeof(cookie) && memcmp(bytes.data, cookie, sizeof(cookie)) == 0;
}

uint32_t vpc_footer_type(struct span bytes)
{
    struct be32 type = {{0}};
    return span_copy(bytes, offsetof(struct footer_disk, type), &type, sizeof(type)) ? be32_get(type) : 0;
}

uint32_t vpc_checksum(struct span bytes, size_t sum_off)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        sum += i - sum_off < 4 ? 0 : bytes.data[i];
    }
    return ~sum;
}

/*
 * Programs that say the disk's length by its current size, as QEMU lists them. All others are taken to be like Virtual
 * PC, which counts by cylinders, heads and sectors, even where the current size is larger.
 */
static bool counts_by_geometry(const char creator[4])
{
    static const struct {
        char name[4];
        uint8_t len;
    } programs[] = {
        {{'w', 'i', 'n', ' '}, 4}, /* Hyper-V */
        {{'q', 'e', 'm', '2'}, 4}, /* QEMU, when it was told to keep the size */
        {{'d', '2', 'v', ' '}, 4}, /* Disk2vhd */
        {{'t', 'a', 'p', 0}, 3},   /* XenServer's tapdisk */
        {{'C', 'T', 'X', 'S'}, 4}, /* XenConverter */
    };
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        if (memcmp(creator, programs[i].name, programs[i].len) == 0) {
            return false;
        }
    }
    return true;
}

bool vpc_footer_parse(struct span bytes, struct vpc_footer *ret_footer, struct error *error)
{
    struct footer_disk disk;
    if (!span_copy(bytes, 0, &disk, sizeof(disk))) {
        return error_set(error, ERROR_GUEST, NULL, "a footer of %zu bytes", bytes.len);
    }
    if (vpc_checksum(bytes, offsetof(struct footer_disk, checksum)) != be32_get(disk.checksum)) {
        return error_set(error, ERROR_MALFORMED, NULL, "Incorrect header checksum");
    }
    /* 65535 * 255 * 255 at most. */
    uint64_t sectors = (uint64_t)be16_get(disk.cylinders) * disk.heads * disk.sectors;
    if (!counts_by_geometry(disk.creator) || sectors == GEOMETRY_SECTORS_MAX) {
        sectors = be64_get(disk.current_len) / VPC_SECTOR_LEN;
    }
    if (sectors > DISK_SECTORS_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "the disk is longer than 2040 GiB");
    }
    *ret_footer = (struct vpc_footer){
        .type = be32_get(disk.type),
        .header_off = be64_get(disk.header_off),
        .virtual_len = sectors * VPC_SECTOR_LEN,
    };
    memcpy(ret_footer->unique_id, disk.unique_id, sizeof(ret_footer->unique_id));
    return true;
}
