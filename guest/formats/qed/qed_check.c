/* SPDX-License-Identifier: Apache-2.0 */
/* qemu-img's check: every cluster of the file is used once. It finds, and says nothing. */
#include "guest/formats/qed/qed.h"
#include "guest/image/bit_set.h"

struct qed_check {
    struct image *image;
    const struct qed_header *header;
    struct bit_set used;
    instar_CheckMessage *result;
};

/* Returns whether none of the clusters, which lie within the file, was used before. */
static bool use(struct qed_check *check, uint64_t off, uint32_t count)
{
    uint64_t first = off >> check->header->cluster_bits;
    uint64_t corruptions = 0;
    for (uint32_t i = 0; i < count; i++) {
        corruptions += bit_set_add(&check->used, first + i) ? 1 : 0;
    }
    check->result->corruptions += corruptions;
    return corruptions == 0;
}

static bool check_l2(struct qed_check *check, uint64_t off, struct error *error)
{
    const struct qed_header *header = check->header;
    struct block_table table = qed_table(check->image, off);
    uint64_t last = 0;
    for (uint64_t i = 0; i < table.count; i++) {
        uint64_t entry;
        RETURN_IF_FAILED(block_table_read(check->image->environment->cache, &table, i, &entry, error));
        if (entry == QED_ENTRY_NONE || entry == QED_ENTRY_ZERO) {
            continue;
        }
        check->result->allocated_clusters++;
        /* The sum may wrap; then it is not the offset of a cluster that follows. */
        check->result->fragmented_clusters += last != 0 && last + header->cluster_len != entry ? 1 : 0;
        last = entry;
        if (qed_is_cluster(header, entry)) {
            (void)use(check, entry, 1);
        } else {
            check->result->corruptions++;
        }
    }
    return true;
}

/* Ends: each L2 table that is looked at uses clusters of the file that no other one did. */
static bool check_l1(struct qed_check *check, struct error *error)
{
    struct block_table table = qed_table(check->image, check->header->l1_off);
    (void)use(check, check->header->l1_off, check->header->table_clusters);
    for (uint64_t i = 0; i < table.count; i++) {
        uint64_t off;
        RETURN_IF_FAILED(block_table_read(check->image->environment->cache, &table, i, &off, error));
        if (off == QED_ENTRY_NONE) {
            continue;
        }
        if (!qed_is_table(check->header, off)) {
            check->result->corruptions++;
        } else if (use(check, off, check->header->table_clusters)) {
            RETURN_IF_FAILED(check_l2(check, off, error));
        }
    }
    return true;
}

bool qed_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result, struct error *error)
{
    const struct qed_header *header = qed_header_of(image);
    uint64_t cluster_count = header->file_len >> header->cluster_bits;
    struct qed_check check = {.image = image, .header = header, .result = ret_result};
    (void)findings_max;
    RETURN_IF_FAILED(bit_set_make(&check.used, image->environment->arena, cluster_count, error));
    ret_result->has_fragmentation = true;
    ret_result->total_clusters = (header->image_len + header->cluster_len - 1) >> header->cluster_bits;
    RETURN_IF_FAILED(check_l1(&check, error));
    for (uint64_t i = header->header_len >> header->cluster_bits; i < cluster_count; i++) {
        ret_result->leaks += bit_set_has(&check.used, i) ? 0 : 1;
    }
    return true;
}
