/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/check/qcow2_check.h"

#include "base/checked.h"
#include "base/units.h"
#include "guest/formats/qcow2/open/qcow2_l2_stream.h"

#define BUFFER_LEN (4ull << 20)
/* Of counters: enough for 2 TiB of clusters of 64 KiB in one pass, as long as none is referenced 256 times. */
#define COUNTERS_LEN_MAX (32ull << 20)
#define COUNTERS_LEN_MIN 4096u
#define REPAIR_LEN (2ull << 20)
/* QEMU counts clusters in an int. */
#define CLUSTER_COUNT_MAX INT32_MAX

void qcow2_check_corruption(struct qcow2_check *check, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (check->is_first_pass) {
        check->result->corruptions++;
        check_finding_list(&check->findings, format, arguments);
    }
    va_end(arguments);
}

void qcow2_check_miscount(struct qcow2_check *check, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!check->is_recount) {
        check->result->corruptions++;
        check_finding_list(&check->findings, format, arguments);
    }
    va_end(arguments);
}

/* Memory for what repairs: its filter of tables (1 MiB at most) and buffers, and a new refcount table. */
static uint64_t repair_len(const struct qcow2_check *check)
{
    const struct qcow2_header *header = check->header;
    uint64_t cluster_count = check->cluster_count + check->cluster_count / 32;
    uint64_t table_len = ((cluster_count >> (header->cluster_bits + 3 - header->refcount_order)) + 64) * 8;
    return REPAIR_LEN + min_u64(round_up(table_len, header->cluster_len), QCOW2_REFCOUNT_TABLE_LEN_MAX);
}

static bool check_memory(struct qcow2_check *check, struct error *error)
{
    struct arena *arena = check->image->environment->arena;
    struct qcow2_check_memory *memory = &qcow2_of(check->image)->check_memory;
    check->buffer_len = BUFFER_LEN;
    if (memory->buffer != NULL) {
        check->buffer = memory->buffer;
        qcow2_counters_init(&check->counters, memory->counters, memory->counters_len, check->header->refcount_order);
        return true;
    }
    check->buffer = arena_allocate(arena, check->buffer_len, SECTOR_LEN);
    uint64_t counters_len = round_up(min_u64(check->cluster_count + 1, COUNTERS_LEN_MAX), COUNTERS_LEN_MIN);
    uint64_t left_len = arena_left(arena, SECTOR_LEN);
    left_len -= min_u64(left_len, check->repair != NULL ? repair_len(check) : 0);
    counters_len = round_down(min_u64(counters_len, left_len), SECTOR_LEN);
    void *counters = arena_allocate(arena, counters_len, SECTOR_LEN);
    if (check->buffer == NULL || counters == NULL || counters_len < COUNTERS_LEN_MIN) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the check");
    }
    *memory = (struct qcow2_check_memory){check->buffer, counters, counters_len};
    qcow2_counters_init(&check->counters, counters, counters_len, check->header->refcount_order);
    return true;
}

bool qcow2_check_windows(struct qcow2_check *check, bool is_recount, struct error *error)
{
    uint64_t first = 0;
    bool has_counted = is_recount && qcow2_check_has_all(check);
    check->is_first_pass = !is_recount;
    check->is_recount = is_recount;
    /* Ends: a window has clusters; their number grows by one at most. One more, for a reference that goes behind. */
    do {
        if (!has_counted) {
            qcow2_counters_begin(&check->counters, first, check->cluster_count + 1 - first);
        }
        if (!has_counted && (first == 0 || first < check->referenced_end)) {
            RETURN_IF_FAILED(qcow2_check_count(check, error));
        }
        RETURN_IF_FAILED(qcow2_check_compare(check, error));
        first += check->counters.count;
        check->is_first_pass = false;
    } while (first < check->cluster_count);
    return true;
}

void qcow2_check_take_mismatches(struct qcow2_check *check)
{
    check->result->corruptions += check->mismatches.corruptions;
    check->result->leaks += check->mismatches.leaks;
    check->result->check_errors += check->mismatches.check_errors;
    check->mismatches = (struct qcow2_mismatches){0};
}

bool qcow2_check_measure(struct qcow2_check *check, struct error *error)
{
    const struct qcow2_header *header = check->header;
    if (!checked_round_up(check->image->file->len, SECTOR_LEN, &check->file_len) ||
        check->file_len > (uint64_t)CLUSTER_COUNT_MAX << header->cluster_bits) {
        return check_failed(error, "File too large");
    }
    check->cluster_count = (check->file_len + header->cluster_len - 1) >> header->cluster_bits;
    return true;
}

bool qcow2_check_begin(struct image *image, uint32_t findings_max, const struct qcow2_check_repair *repair,
                       instar_CheckMessage *ret_result, struct qcow2_check *ret_check, struct error *error)
{
    struct qcow2 *qcow2 = qcow2_of(image);
    const struct qcow2_header *header = &qcow2->header;
    *ret_check = (struct qcow2_check){
        .image = image,
        .repair = repair,
        .header = header,
        .extensions = &qcow2->extensions,
        .result = ret_result,
        .findings = {findings_max},
    };
    RETURN_IF_FAILED(qcow2_check_read_snapshots(ret_check, error));
    RETURN_IF_FAILED(qcow2_check_measure(ret_check, error));
    ret_result->has_fragmentation = true;
    ret_result->total_clusters = (image->virtual_len + header->cluster_len - 1) >> header->cluster_bits;
    return check_memory(ret_check, error);
}

void qcow2_check_end(struct qcow2_check *check)
{
    check->result->has_image_end_offset = true;
    check->result->image_end_offset = (check->highest_cluster + 1) << check->header->cluster_bits;
}

bool qcow2_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result, struct error *error)
{
    static struct qcow2_check check;
    RETURN_IF_FAILED(qcow2_check_begin(image, findings_max, NULL, ret_result, &check, error));
    RETURN_IF_FAILED(qcow2_check_windows(&check, false, error));
    qcow2_check_take_mismatches(&check);
    RETURN_IF_FAILED(qcow2_check_copied(&check, error));
    qcow2_check_end(&check);
    return true;
}
