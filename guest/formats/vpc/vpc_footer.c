/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vpc/vpc_footer.h"

#include <stddef.h>
#include <string.h>

#include "base/checked.h"
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

/* What QEMU says of itself: a version of Virtual PC's, on Windows. */
#define FEATURES_RESERVED 2u
#define VERSION_1_0 0x00010000u
#define CREATOR_MAJOR 5u
#define CREATOR_MINOR 3u

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
    struct vpc_geometry geometry = {be16_get(disk.cylinders), disk.heads, disk.sectors};
    uint64_t sectors = vpc_geometry_sectors(&geometry);
    if (!counts_by_geometry(disk.creator) || sectors == vpc_geometry_sectors(&VPC_GEOMETRY_MAX)) {
        sectors = be64_get(disk.current_len) / VPC_SECTOR_LEN;
    }
    if (sectors > VPC_DISK_SECTORS_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "the disk is longer than 2040 GiB");
    }
    *ret_footer = (struct vpc_footer){
        .type = be32_get(disk.type),
        .header_off = be64_get(disk.header_off),
        .virtual_len = sectors * VPC_SECTOR_LEN,
        .date_sec = be32_get(disk.timestamp),
    };
    memcpy(ret_footer->unique_id, disk.unique_id, sizeof(ret_footer->unique_id));
    return true;
}

struct vpc_geometry vpc_geometry_of(uint64_t sectors)
{
    uint32_t per_track = 17;
    uint32_t heads = 16;
    sectors = min_u64(sectors, vpc_geometry_sectors(&VPC_GEOMETRY_MAX));
    uint32_t tracks = (uint32_t)(sectors / per_track); /* below 2^24 */
    if (sectors >= 65535ull * 16 * 63) {
        per_track = 255;
    } else {
        heads = (uint32_t)max_u64((tracks + 1023) / 1024, 4);
        if (tracks >= heads * 1024 || heads > 16) {
            per_track = 31;
            heads = 16;
            tracks = (uint32_t)(sectors / per_track);
        }
        if (tracks >= heads * 1024) {
            per_track = 63;
            heads = 16;
        }
    }
    tracks = (uint32_t)(sectors / per_track);
    return (struct vpc_geometry){(uint16_t)(tracks / heads), (uint8_t)heads, (uint8_t)per_track};
}

void vpc_footer_emit(const struct vpc_new_footer *new, uint8_t *ret_bytes)
{
    const struct vpc_footer *footer = &new->footer;
    struct footer_disk disk = {
        .features = be32_make(FEATURES_RESERVED),
        .version = be32_make(VERSION_1_0),
        .header_off = be64_make(footer->header_off),
        .timestamp = be32_make(footer->date_sec),
        .creator_major = be16_make(CREATOR_MAJOR),
        .creator_minor = be16_make(CREATOR_MINOR),
        .creator_os = {'W', 'i', '2', 'k'},
        .original_len = be64_make(footer->virtual_len),
        .current_len = be64_make(footer->virtual_len),
        .cylinders = be16_make(new->geometry.cylinders),
        .heads = new->geometry.heads,
        .sectors = new->geometry.sectors,
        .type = be32_make(footer->type),
    };
    memcpy(disk.cookie, cookie, sizeof(cookie));
    memcpy(disk.creator, new->counts_bytes ? "qem2" : "qemu", sizeof(disk.creator));
    memcpy(disk.unique_id, footer->unique_id, sizeof(disk.unique_id));
    struct span bytes = {(const uint8_t *)&disk, sizeof(disk)};
    disk.checksum = be32_make(vpc_checksum(bytes, offsetof(struct footer_disk, checksum)));
    memcpy(ret_bytes, &disk, sizeof(disk));
}

void vpc_footer_set_len(uint64_t virtual_len, uint8_t *bytes)
{
    const struct vpc_geometry geometry = VPC_GEOMETRY_MAX;
    struct footer_disk disk;
    memcpy(&disk, bytes, sizeof(disk));
    memcpy(disk.creator, "qem2", sizeof(disk.creator));
    disk.current_len = be64_make(virtual_len);
    disk.cylinders = be16_make(geometry.cylinders);
    disk.heads = geometry.heads;
    disk.sectors = geometry.sectors;
    struct span sum_bytes = {(const uint8_t *)&disk, sizeof(disk)};
    disk.checksum = be32_make(vpc_checksum(sum_bytes, offsetof(struct footer_disk, checksum)));
    memcpy(bytes, &disk, sizeof(disk));
}
