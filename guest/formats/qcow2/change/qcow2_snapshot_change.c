/* SPDX-License-Identifier: Apache-2.0 */
/* Internal snapshots that come, go, or become the disk (qcow2.txt, "Snapshots"): each by one write of the header. */
#include <string.h>

#include "base/checked.h"
#include "base/units.h"
#include "guest/formats/qcow2/change/qcow2_change.h"
#include "guest/formats/qcow2/change/qcow2_snapshot_tables.h"
#include "guest/formats/qcow2/layout/qcow2_snapshot_disk.h"
#include "guest/formats/qcow2/modify/qcow2_shadow.h"
#include "guest/formats/qcow2/open/qcow2_snapshots.h"

#define ID_LEN_MAX 20u

/* A snapshot, and where its entry of the table is. */
struct found {
    struct qcow2_snapshot snapshot;
    uint64_t off;
    uint64_t end_off;
    bool is_found;
};

/* What is known of the table. */
struct survey {
    struct found by_id; /* the first ones with the text as id, and as name */
    struct found by_name;
    uint64_t id_max;
    uint64_t end_off;
};

struct snapshot_change {
    const struct snapshot_plan *plan;
    struct image *image;
    struct qcow2_modify *modify;
    struct qcow2_shadow shadow;
    struct qcow2_header header; /* as it will be */
    struct qcow2_l1 active;     /* as they are */
    struct survey survey;
};

/* The new snapshot table, as it is put together. */
struct table_writer {
    struct qcow2_shadow *shadow;
    uint64_t off;
    uint64_t buffered_len;
};

static bool text_is(const struct qcow2_snapshot_text *text, const struct snapshot_plan *plan)
{
    return text->len == plan->name_len && memcmp(text->bytes, plan->name, plan->name_len) == 0;
}

static uint64_t id_number(const struct qcow2_snapshot_text *id)
{
    uint64_t number = 0;
    for (uint32_t i = 0; i < id->len && i < ID_LEN_MAX - 2 && id->bytes[i] >= '0' && id->bytes[i] <= '9'; i++) {
        number = number * 10 + (id->bytes[i] - '0');
    }
    return number;
}

static bool table_survey(struct snapshot_change *change, struct error *error)
{
    struct survey *survey = &change->survey;
    struct qcow2_snapshot_walk walk = qcow2_snapshot_walk_begin(change->image);
    while (walk.index < change->header.snapshot_count) { /* ends: at QCOW2_SNAPSHOT_COUNT_MAX */
        static struct found found;                       /* large */
        found = (struct found){.off = round_up(walk.off, 8), .is_found = true};
        RETURN_IF_FAILED(qcow2_snapshot_next(change->image, &walk, &found.snapshot, error));
        found.end_off = walk.off;
        survey->id_max = max_u64(survey->id_max, id_number(&found.snapshot.id));
        if (!survey->by_id.is_found && text_is(&found.snapshot.id, change->plan)) {
            survey->by_id = found;
        }
        if (!survey->by_name.is_found && text_is(&found.snapshot.name, change->plan)) {
            survey->by_name = found;
        }
    }
    survey->end_off = walk.off;
    return true;
}

/* An id comes before a name. */
static const struct found *found_to_apply(const struct survey *survey)
{
    return survey->by_id.is_found ? &survey->by_id : &survey->by_name;
}

static bool writer_flush(struct table_writer *writer, struct error *error)
{
    uint64_t len = round_up(writer->buffered_len, SECTOR_LEN);
    memset(writer->shadow->buffer + writer->buffered_len, 0, len - writer->buffered_len);
    RETURN_IF_FAILED(len == 0 ||
                     qcow2_modify_write(writer->shadow->modify, writer->off, writer->shadow->buffer, len, 0, error));
    writer->off += len;
    writer->buffered_len = 0;
    return true;
}

static bool writer_put(struct table_writer *writer, const void *bytes, uint64_t len, struct error *error)
{
    const uint8_t *left = bytes;
    while (len > 0) { /* ends: each round takes a byte at least */
        uint64_t part_len = min_u64(len, QCOW2_SHADOW_BUFFER_LEN - writer->buffered_len);
        memcpy(writer->shadow->buffer + writer->buffered_len, left, part_len);
        writer->buffered_len += part_len;
        left += part_len;
        len -= part_len;
        RETURN_IF_FAILED(writer->buffered_len < QCOW2_SHADOW_BUFFER_LEN || writer_flush(writer, error));
    }
    return true;
}

/* Bytes as they stand in the file, and zeros up to where an entry may begin. */
static bool writer_copy(struct table_writer *writer, uint64_t off, uint64_t end_off, struct error *error)
{
    struct qcow2_modify *modify = writer->shadow->modify;
    uint8_t bytes[SECTOR_LEN];
    static const uint8_t zeros[8];
    while (off < end_off) {
        uint64_t len = min_u64(end_off - off, sizeof(bytes));
        RETURN_IF_FAILED(
            cache_read(modify->image->environment->cache, modify->target.file, off, bytes, (size_t)len, error));
        RETURN_IF_FAILED(writer_put(writer, bytes, len, error));
        off += len;
    }
    return writer_put(writer, zeros, round_up(writer->buffered_len, 8) - writer->buffered_len, error);
}

/* A place for the table; a table of no bytes has none. */
static bool table_place(struct snapshot_change *change, uint64_t len, struct table_writer *ret_writer,
                        struct error *error)
{
    struct qcow2_shadow *shadow = &change->shadow;
    uint64_t old_off = change->header.snapshots_off;
    if (len > QCOW2_SNAPSHOT_TABLE_LEN_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "-27 (File too large)");
    }
    qcow2_shadow_add(shadow, old_off, change->survey.end_off - old_off, -1);
    change->header.snapshots_off = 0;
    uint64_t cluster_count = (len + change->modify->cluster_len - 1) >> change->header.cluster_bits;
    RETURN_IF_FAILED(len == 0 || qcow2_shadow_take(shadow, cluster_count, &change->header.snapshots_off, error));
    qcow2_shadow_add(shadow, change->header.snapshots_off, len, 1);
    *ret_writer = (struct table_writer){.shadow = shadow, .off = change->header.snapshots_off};
    return true;
}

/* The table with another entry. */
static bool table_extend(struct snapshot_change *change, struct qcow2_l1 l1, struct error *error)
{
    const struct snapshot_plan *plan = change->plan;
    uint64_t old_off = change->header.snapshots_off;
    struct table_writer writer;
    uint8_t id[ID_LEN_MAX];
    uint32_t id_len = 0;
    for (uint64_t rest = change->survey.id_max + 1; rest > 0; rest /= 10) {
        memmove(id + 1, id, id_len);
        id[0] = (uint8_t)('0' + rest % 10);
        id_len++;
    }
    const struct {
        struct qcow2_snapshot_disk head;
        struct qcow2_snapshot_extra_disk extra;
    } entry = {
        .head = {.l1_table_offset = be64_make(l1.off),
                 .l1_size = be32_make(l1.entry_count),
                 .id_size = be16_make((uint16_t)id_len),
                 .name_size = be16_make((uint16_t)plan->name_len),
                 .date_sec = be32_make(plan->date_sec),
                 .date_nsec = be32_make(plan->date_nsec),
                 .extra_data_size = be32_make(sizeof(struct qcow2_snapshot_extra_disk))},
        .extra = {.disk_size = be64_make(change->image->virtual_len)},
    };
    uint64_t kept_len = round_up(change->survey.end_off - old_off, 8);
    RETURN_IF_FAILED(table_place(change, kept_len + sizeof(entry) + id_len + plan->name_len, &writer, error));
    change->header.snapshot_count++;
    return writer_copy(&writer, old_off, change->survey.end_off, error) &&
           writer_put(&writer, &entry, sizeof(entry), error) && writer_put(&writer, id, id_len, error) &&
           writer_put(&writer, plan->name, plan->name_len, error) && writer_flush(&writer, error);
}

/* The table without an entry. */
static bool table_shorten(struct snapshot_change *change, const struct found *found, struct error *error)
{
    uint64_t old_off = change->header.snapshots_off;
    uint64_t next_off = min_u64(round_up(found->end_off, 8), change->survey.end_off);
    uint64_t len = found->off - old_off + change->survey.end_off - next_off;
    struct table_writer writer;
    change->header.snapshot_count--;
    RETURN_IF_FAILED(table_place(change, change->header.snapshot_count == 0 ? 0 : len, &writer, error));
    return change->header.snapshot_count == 0 ||
           (writer_copy(&writer, old_off, found->off, error) &&
            writer_copy(&writer, next_off, change->survey.end_off, error) && writer_flush(&writer, error));
}

static bool change_commit(struct snapshot_change *change, struct qcow2_l1 source, struct qcow2_l1 l1,
                          struct error *error)
{
    RETURN_IF_FAILED(qcow2_shadow_write_refcounts(&change->shadow, error));
    RETURN_IF_FAILED(qcow2_snapshot_tables_end(&change->shadow, source, l1, error));
    change->header.l1_off = l1.off;
    change->header.l1_entry_count = l1.entry_count;
    return qcow2_shadow_switch(&change->shadow, &change->header, error);
}

/* An entry as writers of today make it: with all of the known extra data. */
static bool entry_complete(struct table_writer *writer, uint64_t off, const struct qcow2_snapshot *snapshot,
                           uint64_t end_off, struct error *error)
{
    struct qcow2_modify *modify = writer->shadow->modify;
    struct {
        struct qcow2_snapshot_disk head;
        struct qcow2_snapshot_extra_disk extra;
    } entry = {.extra = {
                   .vm_state_size = be64_make(snapshot->vm_state_len),
                   .disk_size = be64_make(snapshot->has_disk_len ? snapshot->disk_len : modify->target.virtual_len),
                   .icount = be64_make(snapshot->has_icount ? snapshot->icount : UINT64_MAX),
               }};
    uint32_t known_len = (uint32_t)min_u64(snapshot->extra_len, sizeof(entry.extra));
    RETURN_IF_FAILED(cache_read(modify->image->environment->cache, modify->target.file, off, &entry.head,
                                sizeof(entry.head), error));
    entry.head.extra_data_size = be32_make((uint32_t)max_u64(snapshot->extra_len, sizeof(entry.extra)));
    return writer_put(writer, &entry, sizeof(entry), error) &&
           writer_copy(writer, off + sizeof(entry.head) + known_len, end_off, error);
}

/* Bytes of the table when all entries are complete. */
static bool table_complete_len(struct snapshot_change *change, uint64_t *ret_len, struct error *error)
{
    static struct qcow2_snapshot snapshot; /* large */
    struct qcow2_snapshot_walk walk = qcow2_snapshot_walk_begin(change->image);
    uint64_t len = 0;
    while (walk.index < change->header.snapshot_count) { /* ends: at QCOW2_SNAPSHOT_COUNT_MAX */
        uint64_t off = round_up(walk.off, 8);
        RETURN_IF_FAILED(qcow2_snapshot_next(change->image, &walk, &snapshot, error));
        uint64_t missing = sizeof(struct qcow2_snapshot_extra_disk) -
                           min_u64(snapshot.extra_len, sizeof(struct qcow2_snapshot_extra_disk));
        len = round_up(len, 8) + (walk.off - off) + missing;
    }
    change->survey.end_off = walk.off;
    *ret_len = len;
    return true;
}

static bool table_write_complete(struct snapshot_change *change, struct table_writer *writer, struct error *error)
{
    static struct qcow2_snapshot snapshot; /* large */
    struct qcow2_snapshot_walk walk = qcow2_snapshot_walk_begin(change->image);
    while (walk.index < change->header.snapshot_count) { /* ends: at QCOW2_SNAPSHOT_COUNT_MAX */
        uint64_t off = round_up(walk.off, 8);
        RETURN_IF_FAILED(qcow2_snapshot_next(change->image, &walk, &snapshot, error));
        RETURN_IF_FAILED(entry_complete(writer, off, &snapshot, walk.off, error));
    }
    return writer_flush(writer, error);
}

bool qcow2_complete_snapshots(struct image *image, struct error *error)
{
    static struct snapshot_change change; /* large */
    struct table_writer writer;
    struct qcow2_modify *modify;
    uint64_t len;
    RETURN_IF_FAILED(qcow2_modify_open(image, &modify, error));
    change = (struct snapshot_change){.image = image, .modify = modify, .header = qcow2_of(image)->header};
    modify->keeps_bitmaps = true;
    RETURN_IF_FAILED(qcow2_modify_begin(modify, error));
    RETURN_IF_FAILED(qcow2_shadow_begin(modify, &change.shadow, error));
    RETURN_IF_FAILED(table_complete_len(&change, &len, error));
    if (!table_place(&change, len, &writer, error) || !table_write_complete(&change, &writer, error) ||
        !qcow2_shadow_write_refcounts(&change.shadow, error) ||
        !qcow2_shadow_switch(&change.shadow, &change.header, error) ||
        !qcow2_modify_finish(&modify->target, true, error)) {
        qcow2_shadow_abandon(&change.shadow);
        return false;
    }
    return true;
}

/* The snapshot gets an L1 table like the disk's: both lead to the same L2 tables. */
static bool snapshot_create(struct snapshot_change *change, struct error *error)
{
    struct qcow2_shadow *shadow = &change->shadow;
    struct qcow2_l1 l1;
    struct qcow2_l1 copy = {.entry_count = change->active.entry_count};
    if (change->header.snapshot_count >= QCOW2_SNAPSHOT_COUNT_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "-27 (File too large)");
    }
    RETURN_IF_FAILED(qcow2_snapshot_tables_begin(shadow, change->active, change->active.entry_count, QCOW2_SHARES_MORE,
                                                 (struct qcow2_l1){0}, &l1, error));
    uint64_t len = max_u64(round_up(l1.entry_count * 8ull, change->modify->cluster_len), change->modify->cluster_len);
    RETURN_IF_FAILED(qcow2_shadow_take(shadow, len >> change->header.cluster_bits, &copy.off, error));
    RETURN_IF_FAILED(qcow2_modify_copy_table(change->modify, copy.off, len, l1.off, len, error));
    RETURN_IF_FAILED(table_extend(change, copy, error));
    /* Data gets a reference more, by the tables that there are; then these give way to the new ones. */
    qcow2_shadow_add_l1(shadow, change->active, true, 1);
    qcow2_shadow_add_l1(shadow, change->active, false, -2);
    qcow2_shadow_add_l1(shadow, l1, false, 1);
    qcow2_shadow_add_l1(shadow, copy, false, 1);
    return change_commit(change, change->active, l1, error);
}

static bool snapshot_delete(struct snapshot_change *change, struct error *error)
{
    struct qcow2_shadow *shadow = &change->shadow;
    const struct found *found = &change->survey.by_name;
    struct qcow2_l1 l1;
    RETURN_IF_FAILED(qcow2_snapshot_check_l1(change->image, &found->snapshot, error));
    RETURN_IF_FAILED(qcow2_snapshot_tables_begin(shadow, change->active, change->active.entry_count, QCOW2_SHARES_LESS,
                                                 found->snapshot.l1, &l1, error));
    RETURN_IF_FAILED(table_shorten(change, found, error));
    qcow2_shadow_add_l1(shadow, found->snapshot.l1, true, -1);
    qcow2_shadow_add_l1(shadow, change->active, false, -1);
    qcow2_shadow_add_l1(shadow, l1, false, 1);
    return change_commit(change, change->active, l1, error);
}

/* The disk becomes what the snapshot is; it may get another length. */
static bool snapshot_apply(struct snapshot_change *change, struct error *error)
{
    struct qcow2_shadow *shadow = &change->shadow;
    const struct qcow2_snapshot *snapshot = &found_to_apply(&change->survey)->snapshot;
    struct qcow2_l1 l1;
    RETURN_IF_FAILED(qcow2_snapshot_check_l1(change->image, snapshot, error));
    uint64_t size = snapshot->has_disk_len ? snapshot->disk_len : change->header.size;
    uint64_t count = divide_up(size, change->modify->l2_span_len);
    if (size % SECTOR_LEN != 0 || count > QCOW2_L1_LEN_MAX / sizeof(struct be64) || size > QCOW2_LEN_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "Failed to load snapshot: Invalid argument");
    }
    change->header.size = size;
    RETURN_IF_FAILED(qcow2_snapshot_tables_clear(shadow, snapshot->l1, error));
    RETURN_IF_FAILED(qcow2_snapshot_tables_begin(shadow, snapshot->l1,
                                                 (uint32_t)max_u64(count, snapshot->l1.entry_count), QCOW2_SHARES_MORE,
                                                 (struct qcow2_l1){0}, &l1, error));
    qcow2_shadow_add_l1(shadow, snapshot->l1, true, 1);
    qcow2_shadow_add(shadow, snapshot->l1.off, snapshot->l1.entry_count * 8ull, -1);
    qcow2_shadow_add(shadow, l1.off, l1.entry_count * 8ull, 1);
    qcow2_shadow_add_l1(shadow, change->active, true, -1);
    RETURN_IF_FAILED(change_commit(change, snapshot->l1, l1, error));
    change->image->virtual_len = size;
    change->modify->target.virtual_len = size;
    return true;
}

/* In qemu-img's words, before anything is written. */
static bool check_found(const struct snapshot_change *change, struct error *error)
{
    if (change->plan->action == SNAPSHOT_APPLY && !found_to_apply(&change->survey)->is_found) {
        return error_set(error, ERROR_USAGE, NULL, "Failed to load snapshot: No such file or directory");
    }
    if (change->plan->action == SNAPSHOT_DELETE && !change->survey.by_name.is_found) {
        return error_set(error, ERROR_USAGE, NULL, "snapshot not found");
    }
    return true;
}

/* A count that cannot get higher, as qemu-img tells of it. */
static bool refuse_overflow(const struct snapshot_plan *plan, struct error *error)
{
    if (error->kind == ERROR_LIMIT && error->place[0] == '\0') {
        *error = (struct error){0};
        return error_set(error, ERROR_LIMIT, NULL, "%s",
                         plan->action == SNAPSHOT_CREATE ? "-22 (Invalid argument)"
                                                         : "Failed to load snapshot: Invalid argument");
    }
    return false;
}

/* In qemu-img's words. */
static bool check_changeable(const struct image *image, const struct snapshot_plan *plan, struct error *error)
{
    const struct qcow2 *qcow2 = qcow2_of(image);
    if (plan->action == SNAPSHOT_APPLY && qcow2->extensions.bitmap_count > 0) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Device has active dirty bitmaps");
    }
    if (qcow2_has_data_file(&qcow2->header)) {
        static const char *const texts[] = {
            [SNAPSHOT_CREATE] = "-95 (Operation not supported)",
            [SNAPSHOT_APPLY] = "Failed to load snapshot: Operation not supported",
            [SNAPSHOT_DELETE] = "snapshot not found",
        };
        return error_set(error, ERROR_UNSUPPORTED, NULL, "%s", texts[plan->action]);
    }
    return true;
}

bool qcow2_change_snapshots(struct image *image, const struct snapshot_plan *plan, struct error *error)
{
    static struct snapshot_change change; /* large */
    struct qcow2_modify *modify;
    RETURN_IF_FAILED(check_changeable(image, plan, error));
    RETURN_IF_FAILED(qcow2_modify_open(image, &modify, error));
    change = (struct snapshot_change){
        .plan = plan,
        .image = image,
        .modify = modify,
        .header = qcow2_of(image)->header,
        .active = {.off = qcow2_of(image)->header.l1_off, .entry_count = qcow2_of(image)->header.l1_entry_count},
    };
    modify->keeps_bitmaps = true;
    RETURN_IF_FAILED(table_survey(&change, error));
    RETURN_IF_FAILED(check_found(&change, error));
    RETURN_IF_FAILED(qcow2_modify_begin(modify, error));
    change.header.autoclear_features = modify->qcow2->header.autoclear_features;
    RETURN_IF_FAILED(qcow2_shadow_begin(modify, &change.shadow, error));
    static bool (*const actions[])(struct snapshot_change *, struct error *) = {
        [SNAPSHOT_CREATE] = snapshot_create,
        [SNAPSHOT_APPLY] = snapshot_apply,
        [SNAPSHOT_DELETE] = snapshot_delete,
    };
    bool success = actions[plan->action](&change, error) || refuse_overflow(plan, error);
    if (!success || !qcow2_modify_finish(&modify->target, plan->sync, error)) {
        qcow2_shadow_abandon(&change.shadow);
        return false;
    }
    return true;
}
