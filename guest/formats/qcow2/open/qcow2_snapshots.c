/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/open/qcow2_snapshots.h"

#include <stddef.h>
#include <string.h>

#include "base/checked.h"
#include "guest/formats/qcow2/layout/qcow2_snapshot_disk.h"
#include "guest/image/detail.h"

/* What QEMU prints of an id and of a name at most. */
#define PRINTED_ID_LEN 127u
#define PRINTED_NAME_LEN 255u

struct qcow2_snapshot_walk qcow2_snapshot_walk_begin(const struct image *image)
{
    return (struct qcow2_snapshot_walk){.off = qcow2_of(image)->header.snapshots_off};
}

static bool read_bytes(struct image *image, uint64_t off, void *target, size_t len, struct error *error)
{
    return cache_read(image->environment->cache, image->file, off, target, len, error);
}

static bool read_text(struct image *image, uint64_t off, uint32_t len, struct qcow2_snapshot_text *text,
                      struct error *error)
{
    size_t kept_len = min_u64(len, sizeof(text->bytes));
    RETURN_IF_FAILED(read_bytes(image, off, text->bytes, kept_len, error));
    text->len = (uint16_t)strnlen((const char *)text->bytes, kept_len);
    return true;
}

static bool read_extra(struct image *image, uint64_t off, struct qcow2_snapshot *snapshot, struct error *error)
{
    struct qcow2_snapshot_extra_disk extra;
    RETURN_IF_FAILED(read_bytes(image, off, &extra, min_u64(sizeof(extra), snapshot->extra_len), error));
    if (snapshot->extra_len >= offsetof(struct qcow2_snapshot_extra_disk, disk_size)) {
        snapshot->vm_state_len = be64_get(extra.vm_state_size);
    }
    if (snapshot->extra_len >= offsetof(struct qcow2_snapshot_extra_disk, icount)) {
        snapshot->has_disk_len = true;
        snapshot->disk_len = be64_get(extra.disk_size);
    }
    if (snapshot->extra_len >= sizeof(extra)) {
        snapshot->icount = be64_get(extra.icount);
        snapshot->has_icount = snapshot->icount != UINT64_MAX;
    }
    return true;
}

bool qcow2_snapshot_next(struct image *image, struct qcow2_snapshot_walk *walk, struct qcow2_snapshot *ret_snapshot,
                         struct error *error)
{
    struct qcow2_snapshot_disk disk;
    uint64_t table_off = qcow2_of(image)->header.snapshots_off;
    uint64_t off = round_up(walk->off, 8); /* cannot overflow: the table's length is bounded below */
    RETURN_IF_FAILED(read_bytes(image, off, &disk, sizeof(disk), error));
    struct qcow2_snapshot snapshot = {
        .l1 = {.off = be64_get(disk.l1_table_offset), .entry_count = be32_get(disk.l1_size)},
        .date_sec = be32_get(disk.date_sec),
        .date_nsec = be32_get(disk.date_nsec),
        .vm_clock_nsec = be64_get(disk.vm_clock_nsec),
        .vm_state_len = be32_get(disk.vm_state_size),
        .extra_len = be32_get(disk.extra_data_size),
    };
    if (snapshot.extra_len > QCOW2_SNAPSHOT_EXTRA_LEN_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "Too much extra metadata in snapshot table entry %u",
                         walk->index);
    }
    uint64_t extra_off = off + sizeof(disk);
    uint64_t id_off = extra_off + snapshot.extra_len;
    uint64_t name_off = id_off + be16_get(disk.id_size);
    uint64_t end_off = name_off + be16_get(disk.name_size);
    if (end_off - table_off > QCOW2_SNAPSHOT_TABLE_LEN_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "Snapshot table is too big");
    }
    RETURN_IF_FAILED(read_extra(image, extra_off, &snapshot, error));
    RETURN_IF_FAILED(read_text(image, id_off, be16_get(disk.id_size), &snapshot.id, error));
    RETURN_IF_FAILED(read_text(image, name_off, be16_get(disk.name_size), &snapshot.name, error));
    walk->off = end_off;
    walk->index++;
    *ret_snapshot = snapshot;
    return true;
}

bool qcow2_snapshot_check_l1(const struct image *image, const struct qcow2_snapshot *snapshot, struct error *error)
{
    return qcow2_table_check(&qcow2_of(image)->header, snapshot->l1.off, snapshot->l1.entry_count, 8, QCOW2_L1_LEN_MAX,
                             "Snapshot L1 table", error);
}

bool qcow2_snapshots_check(struct image *image, struct error *error)
{
    struct qcow2_snapshot_walk walk = qcow2_snapshot_walk_begin(image);
    struct qcow2_snapshot snapshot;
    while (walk.index < qcow2_of(image)->header.snapshot_count) { /* ends: at QCOW2_SNAPSHOT_COUNT_MAX */
        RETURN_IF_FAILED(qcow2_snapshot_next(image, &walk, &snapshot, error));
    }
    return true;
}

static bool text_is(const struct qcow2_snapshot_text *text, const uint8_t *bytes, size_t len)
{
    return text->len == len && memcmp(text->bytes, bytes, len) == 0;
}

/* The first snapshot with this id and this name; an empty one may be any. */
static bool find(struct image *image, struct span id, struct span name, bool *ret_found,
                 struct qcow2_snapshot *ret_snapshot, struct error *error)
{
    struct qcow2_snapshot_walk walk = qcow2_snapshot_walk_begin(image);
    struct qcow2_snapshot snapshot;
    bool found = false;
    while (!found && walk.index < qcow2_of(image)->header.snapshot_count) { /* ends: as above */
        RETURN_IF_FAILED(qcow2_snapshot_next(image, &walk, &snapshot, error));
        found = (id.len == 0 || text_is(&snapshot.id, id.data, id.len)) &&
                (name.len == 0 || text_is(&snapshot.name, name.data, name.len));
    }
    if (found) {
        *ret_snapshot = snapshot;
    }
    *ret_found = found;
    return true;
}

bool qcow2_select_snapshot(struct image *image, const instar_SnapshotChoice *choice, struct error *error)
{
    struct span id = {choice->id.bytes, choice->id.size};
    struct span name = {choice->name.bytes, choice->name.size};
    struct span either = {choice->id_or_name.bytes, choice->id_or_name.size};
    struct span none = {NULL, 0};
    struct qcow2_snapshot snapshot;
    bool found = false;
    if (id.len > 0 || name.len > 0) {
        RETURN_IF_FAILED(find(image, id, name, &found, &snapshot, error));
    } else if (either.len > 0) {
        RETURN_IF_FAILED(find(image, either, none, &found, &snapshot, error));
        if (!found) {
            RETURN_IF_FAILED(find(image, none, either, &found, &snapshot, error));
        }
    }
    if (!found) {
        return error_set(error, ERROR_USAGE, NULL, "Failed to load snapshot: Can't find snapshot");
    }
    RETURN_IF_FAILED(qcow2_snapshot_check_l1(image, &snapshot, error));
    /* The disk keeps its length, as in QEMU; what the snapshot's table does not cover is unallocated. */
    qcow2_of(image)->l1 = snapshot.l1;
    qcow2_of(image)->l2_off_is_known = false;
    return true;
}

static struct span printed(const struct qcow2_snapshot_text *text, size_t len_max)
{
    return (struct span){text->bytes, min_u64(text->len, len_max)};
}

bool qcow2_snapshots_describe(struct image *image, struct error *error)
{
    uint32_t count = qcow2_of(image)->header.snapshot_count;
    struct qcow2_snapshot_walk walk = qcow2_snapshot_walk_begin(image);
    struct qcow2_snapshot snapshot;
    if (count == 0) {
        return true;
    }
    detail_list("snapshots");
    while (walk.index < count) { /* ends: as above */
        RETURN_IF_FAILED(qcow2_snapshot_next(image, &walk, &snapshot, error));
        detail_object(NULL);
        if (snapshot.has_icount) {
            detail_number("icount", (int64_t)snapshot.icount);
        }
        detail_number("vm-clock-nsec", (int64_t)(snapshot.vm_clock_nsec % 1000000000));
        detail_text("name", printed(&snapshot.name, PRINTED_NAME_LEN));
        detail_number("date-sec", snapshot.date_sec);
        detail_number("date-nsec", snapshot.date_nsec);
        detail_number("vm-clock-sec", (int64_t)(snapshot.vm_clock_nsec / 1000000000));
        detail_text("id", printed(&snapshot.id, PRINTED_ID_LEN));
        detail_number("vm-state-size", (int64_t)snapshot.vm_state_len);
        detail_end();
    }
    detail_end();
    return true;
}
