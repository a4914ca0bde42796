/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/check/qcow2_check.h"

#include "base/checked.h"
#include "guest/formats/qcow2/open/qcow2_l2_stream.h"

#define SECTOR_LEN 512u
#define BUFFER_LEN (4ull << 20)
/* Of counters: enough for 2 TiB of clusters of 64 KiB in one pass, as long as none is referenced 256 times. */
#define COUNTERS_LEN_MAX (32ull << 20)
#define COUNTERS_LEN_MIN 4096u
/* QEMU counts clusters in an int. */
#define CLUSTER_COUNT_MAX INT32_MAX

void qcow2_check_corruption(struct qcow2_check *check, const char *format, ...)
{
    if (!check->is_first_pass) {
        return;
    }
    check->result->corruptions++;
    va_list arguments;
    va_start(arguments, format);
    check_finding_list(&check->findings, format, arguments);
    va_end(arguments);
}

static bool check_memory(struct qcow2_check *check, struct error *error)
{
    struct arena *arena = check->image->environment->arena;
    check->buffer_len = BUFFER_LEN;
    check->buffer = arena_allocate(arena, check->buffer_len, SECTOR_LEN);
    uint64_t counters_len = round_up(min_u64(check->cluster_count + 1, COUNTERS_LEN_MAX), COUNTERS_LEN_MIN);
    counters_len = round_down(min_u64(counters_len, arena_left(arena, SECTOR_LEN)), SECTOR_LEN);
    void *counters = arena_allocate(arena, counters_len, SECTOR_LEN);
    if (check->buffer == NULL || counters == NULL || counters_len < COUNTERS_LEN_MIN) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the check");
    }
    qcow2_counters_init(&check->counters, counters, counters_len, check->header->refcount_order);
    return true;
}

/* All windows of the file, one after the other. */
static bool check_refcounts(struct qcow2_check *check, struct error *error)
{
    uint64_t first = 0;
    check->is_first_pass = true;
    /* Ends: a window has clusters; their number grows by one at most. One more, for a reference that goes behind. */
    while (first < check->cluster_count || check->is_first_pass) {
        qcow2_counters_begin(&check->counters, first, check->cluster_count + 1 - first);
        if (check->is_first_pass || first < check->referenced_end) {
            RETURN_IF_FAILED(qcow2_check_count(check, error));
        }
        RETURN_IF_FAILED(qcow2_check_compare(check, error));
        first += check->counters.count;
        check->is_first_pass = false;
    }
    return true;
}

bool qcow2_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result, struct error *error)
{
    static struct qcow2_check check;
    struct qcow2 *qcow2 = qcow2_of(image);
    const struct qcow2_header *header = &qcow2->header;
    check = (struct qcow2_check){
        .image = image,
        .header = header,
        .extensions = &qcow2->extensions,
        .result = ret_result,
        .findings = {findings_max},
    };
    RETURN_IF_FAILED(qcow2_check_read_snapshots(&check, error));
    if (!checked_round_up(image->file->len, SECTOR_LEN, &check.file_len) ||
        check.file_len > (uint64_t)CLUSTER_COUNT_MAX << header->cluster_bits) {
        return check_failed(error, "File too large");
    }
    check.cluster_count = (check.file_len + header->cluster_len - 1) >> header->cluster_bits;
    ret_result->has_fragmentation = true;
    ret_result->total_clusters = (image->virtual_len + header->cluster_len - 1) >> header->cluster_bits;
    RETURN_IF_FAILED(check_memory(&check, error));
    RETURN_IF_FAILED(check_refcounts(&check, error));
    RETURN_IF_FAILED(qcow2_check_copied(&check, error));
    ret_result->has_image_end_offset = true;
    ret_result->image_end_offset = (check.highest_cluster + 1) << header->cluster_bits;
    return true;
}
