/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vhdx/vhdx_header.h"

#define HEADER_VERSION 1u
#define LOG_VERSION 0u

static const char signature[4] = {'h', 'e', 'a', 'd'};

struct header_disk {
    char signature[4];
    struct le32 checksum;
    struct le64 sequence;
    struct vhdx_guid file_write_id;
    struct vhdx_guid data_write_id;
    struct vhdx_guid log_id;
    struct le16 log_version;
    struct le16 version;
    struct le32 log_len;
    struct le64 log_off;
};

static bool is_sound(struct span bytes, struct header_disk *ret_disk)
{
    struct header_disk disk;
    if (!span_copy(bytes, 0, &disk, sizeof(disk)) || !vhdx_checksum_fits(bytes) ||
        memcmp(disk.signature, signature, sizeof(signature)) != 0 || le16_get(disk.version) != HEADER_VERSION) {
        return false;
    }
    *ret_disk = disk;
    return true;
}

bool vhdx_header_choose(struct span first, struct span second, struct vhdx_header *ret_header, struct error *error)
{
    struct header_disk disks[2];
    memset(disks, 0, sizeof(disks));
    bool is_first = is_sound(first, &disks[0]);
    bool is_second = is_sound(second, &disks[1]);
    uint64_t sequences[2] = {le64_get(disks[0].sequence), le64_get(disks[1].sequence)};
    /* Hyper-V's tool makes files whose headers are alike, checksum and all; QEMU takes them, too. */
    bool are_alike = first.len == second.len && memcmp(first.data, second.data, first.len) == 0;
    if ((!is_first && !is_second) || (is_first && is_second && sequences[0] == sequences[1] && !are_alike)) {
        return error_set(error, ERROR_MALFORMED, NULL, "No valid VHDX header found");
    }
    bool is_second_current = is_second && (!is_first || sequences[1] > sequences[0]);
    const struct header_disk *disk = &disks[is_second_current];
    if (le16_get(disk->log_version) != LOG_VERSION) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "header: log version %u", le16_get(disk->log_version));
    }
    *ret_header = (struct vhdx_header){
        .sequence = le64_get(disk->sequence),
        .data_write_id = disk->data_write_id,
        .log_id = disk->log_id,
        .log_len = le32_get(disk->log_len),
        .log_off = le64_get(disk->log_off),
    };
    if (ret_header->log_off < VHDX_MIB || ret_header->log_off % VHDX_MIB != 0 || ret_header->log_off > INT64_MAX ||
        ret_header->log_len % VHDX_MIB != 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "header: a log of %u bytes at offset 0x%llx",
                         ret_header->log_len, (unsigned long long)ret_header->log_off);
    }
    return true;
}

void vhdx_header_emit(const struct vhdx_header *header, const struct vhdx_guid *file_write_id, uint8_t *ret_bytes)
{
    struct header_disk disk = {
        .sequence = le64_make(header->sequence),
        .file_write_id = *file_write_id,
        .data_write_id = header->data_write_id,
        .log_id = header->log_id,
        .log_version = {{LOG_VERSION}},
        .version = {{HEADER_VERSION}},
        .log_len = le32_make(header->log_len),
        .log_off = le64_make(header->log_off),
    };
    memcpy(disk.signature, signature, sizeof(signature));
    memcpy(ret_bytes, &disk, sizeof(disk));
    vhdx_checksum_set(ret_bytes, VHDX_HEADER_LEN);
}

bool vhdx_header_is(const struct vhdx_header *header, struct span bytes)
{
    struct header_disk disk;
    return is_sound(bytes, &disk) && le64_get(disk.sequence) == header->sequence;
}

struct vhdx_guid vhdx_header_file_write_id(struct span bytes)
{
    struct header_disk disk;
    return span_copy(bytes, 0, &disk, sizeof(disk)) ? disk.file_write_id : (struct vhdx_guid){{0}};
}
