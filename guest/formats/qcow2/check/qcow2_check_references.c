/* SPDX-License-Identifier: Apache-2.0 */
/* All references to clusters of the image file, and the counting of one. */
#include <inttypes.h>

#include "base/checked.h"
#include "guest/formats/qcow2/check/qcow2_check.h"

void qcow2_check_count_cluster(struct qcow2_check *check, uint64_t cluster)
{
    if (!qcow2_counters_add(&check->counters, cluster) && !check->is_recount) {
        qcow2_check_miscount(check, "ERROR: overflow cluster offset=0x%" PRIx64,
                             cluster << check->header->cluster_bits);
        check_finding(&check->findings,
                      "Use qemu-img amend to increase the refcount entry width or qemu-img convert to create a clean "
                      "copy if the image cannot be opened for writing");
    }
}

bool qcow2_check_count_range(struct qcow2_check *check, uint64_t off, uint64_t len, struct error *error)
{
    uint32_t cluster_bits = check->header->cluster_bits;
    uint64_t cluster_len = check->header->cluster_len;
    if ((int64_t)len <= 0) {
        return true;
    }
    /* Signed and wrapping, as QEMU has it: what it takes for an early range it cannot count then. */
    if ((int64_t)(off + len - check->file_len) >= (int64_t)cluster_len) {
        qcow2_check_corruption(check,
                               "ERROR: counting reference for region exceeding the end of the file by one cluster or "
                               "more: offset 0x%" PRIx64 " size 0x%" PRIx64,
                               off, len);
        return true;
    }
    if (!range_is_within(off, len, check->file_len + cluster_len)) {
        return check_failed(error, "Cannot allocate memory");
    }
    uint64_t end = ((off + len - 1) >> cluster_bits) + 1;
    check->cluster_count = max_u64(check->cluster_count, end);
    check->referenced_end = max_u64(check->referenced_end, end);
    /* Ends: the range ends with the file, or in the cluster behind it. */
    for (uint64_t cluster = off >> cluster_bits; cluster < end; cluster++) {
        qcow2_check_count_cluster(check, cluster);
    }
    return true;
}

bool qcow2_check_count(struct qcow2_check *check, struct error *error)
{
    const struct qcow2_header *header = check->header;
    RETURN_IF_FAILED(qcow2_check_count_range(check, 0, header->cluster_len, error));
    RETURN_IF_FAILED(qcow2_check_count_l1(check, header->l1_off, header->l1_entry_count, true, error));
    RETURN_IF_FAILED(qcow2_check_count_snapshots(check, error));
    RETURN_IF_FAILED(check->leaves_refcounts_out || qcow2_check_count_range(check, header->refcount_table_off,
                                                                            qcow2_refcount_table_len(header), error));
    if (check->extensions->has_crypto_header) {
        RETURN_IF_FAILED(qcow2_check_count_range(check, check->extensions->crypto_header_off,
                                                 check->extensions->crypto_header_len, error));
    }
    RETURN_IF_FAILED(qcow2_check_count_bitmaps(check, error));
    return check->leaves_refcounts_out || qcow2_check_count_blocks(check, error);
}
