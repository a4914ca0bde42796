/* SPDX-License-Identifier: Apache-2.0 */
/* qemu-img's check: every cluster of the file is used once. It finds, and says nothing. */
#include "guest/formats/qed/qed_modify.h"
#include "guest/image/bit_set.h"

struct qed_check {
    struct image *image;
    const struct qed_header *header;
    struct bit_set used;
    instar_CheckMessage *result;
    struct qed_modify *repair; /* NULL: nothing is repaired */
};

/* An entry leads to where no cluster, or table, can be. As in QEMU it leads nowhere when it is repaired. */
static bool report_invalid(struct qed_check *check, const struct block_table *table, uint64_t index,
                           struct error *error)
{
    if (check->repair == NULL) {
        check->result->corruptions++;
        return true;
    }
    struct block_modify *blocks = &check->repair->blocks;
    check->result->corruptions_fixed++;
    if (table_changes_room(&blocks->changes) == 0) {
        RETURN_IF_FAILED(block_modify_checkpoint(blocks, error));
    }
    return table_changes_set(&blocks->changes, table, index, QED_ENTRY_NONE, error);
}

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
            RETURN_IF_FAILED(report_invalid(check, &table, i, error));
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
            RETURN_IF_FAILED(report_invalid(check, &table, i, error));
        } else if (use(check, off, check->header->table_clusters)) {
            RETURN_IF_FAILED(check_l2(check, off, error));
        }
    }
    return true;
}

static bool look_at_image(struct qed_check *check, struct error *error)
{
    const struct qed_header *header = check->header;
    instar_CheckMessage *result = check->result;
    uint64_t cluster_count = header->file_len >> header->cluster_bits;
    RETURN_IF_FAILED(bit_set_make(&check->used, check->image->environment->arena, cluster_count, error));
    result->has_fragmentation = true;
    result->total_clusters = (header->image_len + header->cluster_len - 1) >> header->cluster_bits;
    RETURN_IF_FAILED(check_l1(check, error));
    for (uint64_t i = header->header_len >> header->cluster_bits; i < cluster_count; i++) {
        result->leaks += bit_set_has(&check->used, i) ? 0 : 1;
    }
    return true;
}

bool qed_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result, struct error *error)
{
    struct qed_check check = {.image = image, .header = qed_header_of(image), .result = ret_result};
    (void)findings_max;
    return look_at_image(&check, error);
}

/* As in QEMU either kind of repair is one of entries that lead nowhere, and leaked clusters stay. */
bool qed_repair(struct image *image, const struct repair_plan *plan, instar_CheckMessage *ret_result,
                struct error *error)
{
    struct qed_check check = {.image = image, .header = qed_header_of(image), .result = ret_result};
    (void)plan;
    RETURN_IF_FAILED(qed_modify_make(image, &check.repair, error) && look_at_image(&check, error));
    struct block_modify *blocks = &check.repair->blocks;
    RETURN_IF_FAILED(block_modify_checkpoint(blocks, error) && block_modify_flush(blocks, error));
    /* It has been checked, and is sound: that it needs a check is not true any more. */
    return ret_result->corruptions > 0 || block_modify_begin(blocks, error);
}
