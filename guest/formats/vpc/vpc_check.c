/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of a dynamic or differencing VHD, which QEMU does not have: does each block have a place of its own within
 * the file, is the footer at the end the one that the start has a copy of, and does the header's checksum fit?
 */
#include "base/checked.h"
#include "guest/formats/vpc/vpc_blocks.h"
#include "guest/image/finding.h"

struct vpc_checker {
    struct findings findings;
    instar_CheckMessage *result;
};

static bool found(struct vpc_blocks *blocks, uint64_t index, uint64_t off, enum vpc_fault fault, struct error *error)
{
    struct vpc_checker *checker = blocks->owner;
    (void)off;
    (void)error;
    checker->result->corruptions++;
    check_finding(&checker->findings, "ERROR: block %llu %s", (unsigned long long)index, vpc_fault_text(fault));
    return true;
}

static void found_in_image(struct vpc_checker *checker, bool is_found, const char *what)
{
    if (is_found) {
        checker->result->corruptions++;
        check_finding(&checker->findings, "ERROR: %s", what);
    }
}

bool vpc_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result, struct error *error)
{
    const struct vpc *vpc = vpc_of(image);
    struct vpc_checker checker = {{findings_max}, ret_result};
    struct vpc_blocks blocks = {.image = image, .found = found, .owner = &checker};
    if (vpc->is_fixed) { /* Opening has looked at all that there is. */
        return true;
    }
    found_in_image(&checker, vpc->is_copy_damaged, "the file does not begin with a copy of its footer");
    found_in_image(&checker, !vpc->header.sum_fits, "the checksum of the dynamic disk header is wrong");
    RETURN_IF_FAILED(vpc_look_at_blocks(&blocks, error));
    found_in_image(&checker, !blocks.has_tables_apart, "the block allocation table overlaps the headers");
    found_in_image(&checker, !blocks.has_footer_at_end, "the file does not end with the footer that it begins with");
    ret_result->has_fragmentation = true;
    ret_result->total_clusters = (image->virtual_len + vpc->header.block_len - 1) / vpc->header.block_len;
    ret_result->allocated_clusters = blocks.count;
    ret_result->fragmented_clusters = blocks.fragmented_count;
    ret_result->has_image_end_offset = true;
    ret_result->image_end_offset = round_up(blocks.end_off, VPC_SECTOR_LEN) + VPC_FOOTER_LEN;
    return true;
}
