/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vpc/vpc.h"

#include <string.h>

#include "base/checked.h"
#include "guest/formats/vpc/vpc_image.h"
#include "guest/image/format_open.h"
#include "guest/image/probe.h"

/* Only dynamic ones have this at their start; QEMU takes fixed ones for raw. */
static int vpc_probe(struct span head, struct span name)
{
    (void)name;
    return vpc_footer_has_cookie(head) ? PROBE_SURE : 0;
}

/* What the file ends with; false: no footer. */
static bool read_footer_at_end(struct image *image, struct vpc *vpc, struct error *error)
{
    uint8_t bytes[VPC_FOOTER_LEN];
    struct span footer = {bytes, sizeof(bytes)};
    /* Virtual PC wrote footers of 511 bytes, which begin in the last sector all the same. */
    uint64_t file_len;
    if (!checked_round_up(image->file->len, VPC_SECTOR_LEN, &file_len) || file_len < VPC_FOOTER_LEN) {
        return error_set(error, ERROR_MALFORMED, NULL, "File too small for a VHD header");
    }
    RETURN_IF_FAILED(format_open_read(image, file_len - VPC_FOOTER_LEN, bytes, sizeof(bytes), error));
    uint32_t type = vpc_footer_type(footer);
    vpc->is_fixed = type == VPC_FIXED;
    vpc->is_copy_damaged = image_purpose_is_check(image->purpose) && (type == VPC_DYNAMIC || type == VPC_DIFFERENCING);
    if (!vpc_footer_has_cookie(footer) || (!vpc->is_fixed && !vpc->is_copy_damaged)) {
        return error_set(error, ERROR_MALFORMED, NULL, "invalid VPC image");
    }
    return vpc_footer_parse(footer, &vpc->footer, error);
}

/* The copy at the start, or of a fixed disk the footer itself; a check takes that for a copy that is damaged, too. */
static bool read_footer(struct image *image, struct vpc *vpc, struct error *error)
{
    uint8_t bytes[VPC_FOOTER_LEN];
    struct span copy = {bytes, sizeof(bytes)};
    struct error why = {0};
    struct error ignored = {0};
    RETURN_IF_FAILED(format_open_read(image, 0, bytes, sizeof(bytes), error));
    if (!vpc_footer_has_cookie(copy)) {
        return read_footer_at_end(image, vpc, error);
    }
    if (vpc_footer_parse(copy, &vpc->footer, &why)) {
        return true;
    }
    if (image_purpose_is_check(image->purpose) && read_footer_at_end(image, vpc, &ignored) && !vpc->is_fixed) {
        return true;
    }
    *error = why;
    return false;
}

/* No block ends behind the file. As in QEMU all entries count, also those behind the disk's end. */
static bool check_blocks(struct image *image, const struct vpc *vpc, struct error *error)
{
    uint64_t step;
    uint64_t stored_len = (uint64_t)vpc->header.bitmap_len + vpc->header.block_len;
    for (uint64_t i = 0; i < vpc->table.count; i += step) { /* ends: step is 1 at least */
        uint64_t sector;
        RETURN_IF_FAILED(
            block_table_run(image->environment->cache, &vpc->table, i, vpc->table.count - i, 0, &sector, &step, error));
        if (sector != VPC_BLOCK_UNUSED &&
            !range_is_within(sector * VPC_SECTOR_LEN, stored_len, round_up(image->file->len, VPC_SECTOR_LEN))) {
            return error_set(error, ERROR_MALFORMED, NULL,
                             "block-vpc: free_data_block_offset points after the end of file. "
                             "The image has been truncated.");
        }
    }
    return true;
}

static bool open_blocks(struct image *image, struct vpc *vpc, struct error *error)
{
    uint8_t bytes[VPC_HEADER_LEN];
    struct span header = {bytes, sizeof(bytes)};
    if (!range_is_within(vpc->footer.header_off, sizeof(bytes), INT64_MAX)) {
        return error_set(error, ERROR_MALFORMED, NULL, "Error reading dynamic VHD header");
    }
    RETURN_IF_FAILED(format_open_read(image, vpc->footer.header_off, bytes, sizeof(bytes), error));
    RETURN_IF_FAILED(vpc_header_parse(header, vpc->footer.virtual_len, &vpc->header, error));
    vpc->table = (struct block_table){
        .file = image->file,
        .off = vpc->header.table_off,
        .count = vpc->header.table_count,
        .word = BLOCK_TABLE_BE32,
    };
    if (!range_is_within(vpc->table.off, vpc->table.count * VPC_ENTRY_LEN,
                         round_up(image->file->len, VPC_SECTOR_LEN))) {
        return error_set(error, ERROR_MALFORMED, NULL, "Error reading pagetable");
    }
    image->cluster_len = vpc->header.block_len;
    if (!image_purpose_is_check(image->purpose) && !image->environment->salvages) {
        RETURN_IF_FAILED(check_blocks(image, vpc, error));
    }
    return true;
}

/* Without its parent a differencing disk is not a disk: what it lacks would read as zeros. */
static bool open_parent(struct image *image, struct error *error)
{
    RETURN_IF_FAILED(vpc_parent_name_read(image, error));
    if (!image->backing_name.is_set && image->purpose != IMAGE_TO_DESCRIBE && !image_purpose_is_check(image->purpose)) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "the parent of this differencing disk has no name to follow");
    }
    return true;
}

static bool vpc_open(struct image *image, struct error *error)
{
    void *state;
    RETURN_IF_FAILED(format_open_state(image, sizeof(struct vpc), &state, error));
    struct vpc *vpc = state;
    RETURN_IF_FAILED(read_footer(image, vpc, error));
    image->virtual_len = vpc->footer.virtual_len;
    image->has_dirty_flag = true; /* as QEMU has it: false */
    if (vpc->is_fixed) {
        return true;
    }
    RETURN_IF_FAILED(open_blocks(image, vpc, error));
    if (vpc->footer.type == VPC_FIXED) { /* QEMU reads the file from its start as the disk, headers and all */
        return error_set(
            error, ERROR_MALFORMED, NULL,
            "the footer at the start says that the disk is fixed, and the header behind it that it is not");
    }
    vpc->has_parent = vpc->footer.type == VPC_DIFFERENCING;
    return !vpc->has_parent || open_parent(image, error);
}

/* The child's header has its parent's identifier. */
static bool vpc_accepts_backing(const struct image *image)
{
    const struct image *parent = image->backing;
    return parent->format == image->format &&
           memcmp(vpc_of(image)->header.parent_id, vpc_of(parent)->footer.unique_id, VPC_ID_LEN) == 0;
}

const struct format vpc_format = {
    .name = "vpc",
    .probe = vpc_probe,
    .open = vpc_open,
    .map = vpc_map,
    .accepts_backing = vpc_accepts_backing,
    .check = vpc_check,
    .repair = vpc_repair,
    .create = vpc_create,
    .open_target = vpc_open_target,
    .resize = vpc_resize,
};
