/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that becomes longer or shorter. */
#include "base/checked.h"
#include "base/units.h"
#include "guest/formats/qcow2/change/qcow2_change.h"
#include "guest/formats/qcow2/layout/qcow2_header_disk.h"
#include "guest/formats/qcow2/layout/qcow2_refcount_block.h"

/* In the header: the disk's length; then, behind the encryption, the L1 table's length and place. */
#define HEADER_L1_OFF 36u
/* Clusters that are preallocated in one piece. */
#define PIECE_MAX 4096u

/* What a disk that is to become longer goes back to if something fails. */
struct former {
    bool has_changed; /* the image is not what it was any more */
    uint64_t virtual_len;
    uint64_t data_len;  /* bytes of the external data file */
    struct qcow2_l1 l1; /* its clusters stay its own until the disk has its new length */
};

static bool check_resizable(const struct image *image, const struct resize_plan *plan, struct error *error)
{
    const struct qcow2 *qcow2 = qcow2_of(image);
    if (plan->virtual_len % SECTOR_LEN != 0) {
        return error_set(error, ERROR_USAGE, NULL, "The new size must be a multiple of 512");
    }
    if (qcow2->header.version < 3 && qcow2->header.snapshot_count > 0) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Can't resize a v2 image which has snapshots");
    }
    bool is_unknown = image->backing == NULL && image->backing_name.is_set;
    if (qcow2->header.version < 3 && is_unknown && plan->virtual_len > image->virtual_len &&
        plan->preallocation == RESIZE_PREALLOCATE_OFF) {
        /* Nobody looks where it ends, and in version 2 all zeros that hide it are written. */
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "images of version 2 grow when it is known how long the backing file is: allow it with "
                         "--backing=beside, or with --backing-file");
    }
    return true;
}

static bool set_size(struct qcow2_modify *modify, uint64_t virtual_len, struct qcow2_resize_bitmaps *bitmaps,
                     struct error *error)
{
    RETURN_IF_FAILED(qcow2_modify_checkpoint(modify, error));
    bitmaps->is_disk_other = true;
    RETURN_IF_FAILED(qcow2_modify_store_be64(modify, QCOW2_HEADER_OFF(size), virtual_len, QCOW2_AREA_HEADER, error));
    modify->qcow2->header.size = virtual_len;
    modify->image->virtual_len = virtual_len;
    return qcow2_modify_flush(modify, error) && qcow2_resize_bitmaps_end(bitmaps, error);
}

/* Of the L1 table, the first entry that is about nothing of a disk of this length. */
static uint64_t first_table_behind(const struct qcow2_modify *modify, uint64_t virtual_len)
{
    return divide_up(virtual_len, modify->l2_span_len);
}

bool qcow2_resize_check_l1(const struct qcow2_modify *modify, uint64_t virtual_len, struct error *error)
{
    bool fits = first_table_behind(modify, virtual_len) <= QCOW2_L1_LEN_MAX / sizeof(struct be64);
    return fits || error_set(error, ERROR_USAGE, NULL, "Failed to grow the L1 table: File too large");
}

static struct qcow2_l1 l1_of(const struct qcow2_modify *modify)
{
    const struct qcow2_header *header = &modify->qcow2->header;
    return (struct qcow2_l1){.off = header->l1_off, .entry_count = header->l1_entry_count};
}

/* The header leads to this L1 table, which is complete. */
static bool set_l1(struct qcow2_modify *modify, struct qcow2_l1 l1, struct error *error)
{
    struct {
        struct be32 entry_count;
        struct be64 off;
    } words = {be32_make(l1.entry_count), be64_make(l1.off)};
    _Static_assert(sizeof(words) == 12, "as in the header");
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    RETURN_IF_FAILED(qcow2_modify_store(modify, HEADER_L1_OFF, &words, sizeof(words), QCOW2_AREA_HEADER, error));
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    modify->qcow2->header.l1_off = l1.off;
    modify->qcow2->header.l1_entry_count = l1.entry_count;
    modify->qcow2->l1 = l1;
    return true;
}

/* A longer L1 table. */
static bool grow_l1(struct qcow2_modify *modify, uint64_t entry_count, struct error *error)
{
    const struct qcow2_header *header = &modify->qcow2->header;
    uint64_t len = round_up(entry_count * sizeof(struct be64), modify->cluster_len);
    struct qcow2_l1 l1 = {.entry_count = (uint32_t)entry_count};
    RETURN_IF_FAILED(qcow2_modify_take_loose(modify, len >> header->cluster_bits, &l1.off, error));
    RETURN_IF_FAILED(qcow2_modify_copy_table(modify, l1.off, len, header->l1_off, qcow2_l1_len(header), error));
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    qcow2_modify_tie(modify, l1.off, len >> header->cluster_bits);
    return set_l1(modify, l1, error);
}

/* The one of two L1 tables that is not the image's any more. */
static bool release_l1(struct qcow2_modify *modify, struct qcow2_l1 l1, struct error *error)
{
    return l1.entry_count == 0 || l1.off == modify->qcow2->header.l1_off ||
           qcow2_modify_release(modify, l1.off, l1.entry_count * sizeof(struct be64), 0, error);
}

/*
 * What the disk gets reads as zeros: also where the last cluster goes on behind the old end, and where the backing file
 * is longer than the disk was, or may be. What is going to be preallocated hides a backing file anyway.
 */
static bool clear_new(struct qcow2_modify *modify, uint64_t old_len, uint64_t new_len, bool is_preallocated,
                      struct error *error)
{
    const struct image *backing = modify->image->backing;
    uint64_t end = old_len;
    if (old_len % modify->cluster_len != 0) {
        struct qcow2_l2_entry entry;
        RETURN_IF_FAILED(qcow2_modify_get(modify, old_len, &entry, error));
        if (entry.descriptor != 0) {
            end = min_u64(round_up(old_len, modify->cluster_len), new_len);
        }
    }
    bool is_unknown = backing == NULL && modify->image->backing_name.is_set; /* nobody has looked how long it is */
    bool is_longer = backing != NULL && backing->virtual_len > old_len;
    /* As QEMU does, to the new end: the backing file may become longer. Version 2 has zeros by writing them only. */
    if (!is_preallocated && (is_unknown || (is_longer && modify->qcow2->header.version >= 3))) {
        end = new_len;
    } else if (is_longer) {
        /* Zeros that version 2 writes fill their cluster: its rest would be read from images that are not open. */
        uint64_t longer_end = min_u64(backing->virtual_len, new_len);
        bool is_written = modify->qcow2->header.version < 3;
        end = max_u64(end, is_written ? round_up(longer_end, modify->cluster_len) : longer_end);
    }
    return end == old_len || qcow2_modify_disk_zero(&modify->target, old_len, end - old_len, error);
}

/* Where up to *count clusters of a piece are to be stored, loose. */
static bool place_piece(struct qcow2_modify *modify, uint64_t voff, bool is_zeroed, uint64_t *count, uint64_t *ret_off,
                        struct error *error)
{
    if (modify->is_data_external) {
        *ret_off = voff;
        return true;
    }
    RETURN_IF_FAILED(is_zeroed ? qcow2_modify_take(modify, *count, ret_off, count, error)
                               : qcow2_modify_append(modify, *count, ret_off, error));
    qcow2_modify_loosen(modify, *ret_off, *count);
    return true;
}

/*
 * Storage for clusters without any, from voff on: how many follow each other in one slice. As in QEMU, the file has
 * zeros there: of an encrypted image the disk has what these are decrypted to.
 */
static bool preallocate_piece(struct qcow2_modify *modify, uint64_t voff, uint64_t end, enum resize_preallocation mode,
                              uint64_t *ret_len, struct error *error)
{
    const struct qcow2_header *header = &modify->qcow2->header;
    uint64_t span_len = qcow2_modify_slice_span_len(modify);
    uint64_t piece_end = min_u64(end, round_down(voff, span_len) + span_len);
    uint64_t max = min_u64(PIECE_MAX, (1ull << qcow2_refcount_block_bits(header)) - 1);
    uint64_t count = 0;
    uint64_t off;
    RETURN_IF_FAILED(qcow2_modify_prepare(modify, voff, error));
    for (uint64_t at = voff; at < piece_end && count < max; at += modify->cluster_len) {
        struct qcow2_l2_entry entry;
        RETURN_IF_FAILED(qcow2_modify_get(modify, at, &entry, error));
        if (entry.descriptor != 0 || entry.bitmap != 0) {
            break;
        }
        count++;
    }
    /* Behind a file's end there are zeros, elsewhere there may be anything. */
    bool is_zeroed = mode != RESIZE_PREALLOCATE_METADATA || (!modify->is_data_external && !modify->data->is_resizable);
    RETURN_IF_FAILED(count == 0 || place_piece(modify, voff, is_zeroed, &count, &off, error));
    *ret_len = max_u64(count, 1) * modify->cluster_len;
    if (count == 0) {
        return true;
    }
    if (is_zeroed) {
        uint64_t len = min_u64(count << header->cluster_bits, modify->is_data_external ? end - voff : UINT64_MAX);
        RETURN_IF_FAILED(qcow2_modify_grow_data_to(modify, off + len, error));
        RETURN_IF_FAILED(qcow2_modify_write_zeroes(modify, off, len, mode == RESIZE_PREALLOCATE_METADATA, error));
    }
    qcow2_modify_tie(modify, off, count);
    for (uint64_t i = 0; i < count; i++) {
        struct qcow2_l2_entry entry = {.descriptor = (off + i * modify->cluster_len) | QCOW2_COPIED};
        entry.bitmap = modify->granule_len < modify->cluster_len ? qcow2_l2_bitmap_make(QCOW2_SUBCLUSTERS_ALL, 0) : 0;
        qcow2_modify_set(modify, voff + i * modify->cluster_len, entry);
    }
    return target_check(&modify->target, error);
}

static bool preallocate(struct qcow2_modify *modify, uint64_t old_len, uint64_t new_len, enum resize_preallocation mode,
                        struct error *error)
{
    uint64_t voff = round_up(old_len, modify->cluster_len);
    while (voff < new_len) { /* ends: pieces have a cluster at least */
        uint64_t len;
        RETURN_IF_FAILED(preallocate_piece(modify, voff, new_len, mode, &len, error));
        voff += len;
    }
    return true;
}

/* The external data file becomes as long as the disk. What was behind the disk's end there is nothing of it. */
static bool grow_data(struct qcow2_modify *modify, uint64_t old_len, uint64_t new_len, struct error *error)
{
    if (modify->data->len > old_len) {
        RETURN_IF_FAILED(qcow2_modify_set_data_len(modify, old_len, error));
    }
    return qcow2_modify_set_data_len(modify, new_len, error);
}

/*
 * In a data file that is raw, everything is allocated, as in QEMU; but for encrypted disks, of which the file is no raw
 * image whatever it is called: what is new would be noise.
 */
static enum resize_preallocation mode_of(const struct qcow2_modify *modify, const struct resize_plan *plan)
{
    bool is_raw = (modify->qcow2->header.autoclear_features & QCOW2_AUTOCLEAR_DATA_FILE_RAW) != 0;
    is_raw = is_raw && modify->cipher == NULL;
    return is_raw && plan->preallocation == RESIZE_PREALLOCATE_OFF ? RESIZE_PREALLOCATE_METADATA : plan->preallocation;
}

/* Clusters that `count` of the disk's need at most, with tables of both sorts that lead to them and count them. */
static uint64_t clusters_wanted(const struct qcow2_modify *modify, uint64_t count)
{
    const struct qcow2_header *header = &modify->qcow2->header;
    uint64_t entries_per_table = modify->l2_span_len >> header->cluster_bits;
    uint64_t with_tables = count + count / entries_per_table + 2;
    uint64_t with_blocks = with_tables + (with_tables >> qcow2_refcount_block_bits(header)) + 2;
    return with_blocks + with_blocks / (modify->cluster_len / sizeof(struct be64)) / entries_per_table + 1;
}

/*
 * Before anything is changed: storage behind the file's end for all that is preallocated, so that the file is what it
 * was where there is no room. What turns out to be too much goes when the job finishes.
 */
static bool reserve_storage(struct qcow2_modify *modify, uint64_t old_len, uint64_t new_len, struct error *error)
{
    struct file *file = modify->target.file;
    uint64_t kept_len = file->len;
    uint64_t count = (new_len - old_len) / modify->cluster_len + 1;
    uint64_t start = round_up(kept_len, modify->cluster_len);
    uint64_t len = clusters_wanted(modify, count) * modify->cluster_len;
    bool success = target_set_len(&modify->target, file, start + len, error) &&
                   qcow2_modify_write_zeroes(modify, start, len, false, error);
    if (!success) {
        struct error ignored = {0};
        modify->target.error = (struct error){0}; /* for this one request, which makes nothing worse */
        if (!target_set_len(&modify->target, file, kept_len, &ignored)) {
            return false;
        }
    }
    return success;
}

/* Clusters that are going to be taken: the new part of the disk, L2 tables, a longer L1 table. */
static uint64_t clusters_to_take(const struct qcow2_modify *modify, uint64_t old_len, uint64_t new_len)
{
    const struct qcow2_header *header = &modify->qcow2->header;
    uint64_t tables = first_table_behind(modify, new_len);
    uint64_t old_tables = first_table_behind(modify, old_len);
    uint64_t l1_len = tables > header->l1_entry_count ? tables * sizeof(struct be64) : 0;
    uint64_t disk_len = round_up(new_len, modify->cluster_len) - round_up(old_len, modify->cluster_len);
    return (disk_len + round_up(l1_len, modify->cluster_len)) / modify->cluster_len + tables - old_tables;
}

/* Before anything is changed: where the file cannot grow, its free clusters are enough. */
static bool check_room(struct qcow2_modify *modify, uint64_t old_len, uint64_t new_len, struct error *error)
{
    const struct file *file = modify->target.file;
    uint64_t wanted = clusters_to_take(modify, old_len, new_len);
    uint64_t free_count;
    RETURN_IF_FAILED(qcow2_modify_count_room(modify, wanted, &free_count, error));
    return free_count >= wanted ||
           error_set(error, ERROR_NO_SPACE, file->name, "the image does not fit: it needs more than %llu bytes",
                     (unsigned long long)file->len);
}

static bool grow(struct qcow2_modify *modify, const struct resize_plan *plan, struct qcow2_resize_bitmaps *bitmaps,
                 struct former *former, struct error *error)
{
    enum resize_preallocation mode = mode_of(modify, plan);
    uint64_t old_len = modify->target.virtual_len;
    uint64_t entry_count = first_table_behind(modify, plan->virtual_len);
    bool wants_storage = mode == RESIZE_PREALLOCATE_FALLOC || mode == RESIZE_PREALLOCATE_FULL;
    if (wants_storage && plan->virtual_len > old_len && !modify->is_data_external && modify->data->is_resizable) {
        RETURN_IF_FAILED(reserve_storage(modify, old_len, plan->virtual_len, error));
        qcow2_modify_take_behind(modify); /* what is taken is filled with zeros at once */
    }
    if (mode != RESIZE_PREALLOCATE_OFF && !modify->is_data_external && !modify->data->is_resizable) {
        RETURN_IF_FAILED(check_room(modify, old_len, plan->virtual_len, error));
    }
    former->has_changed = true;
    if (entry_count > modify->qcow2->header.l1_entry_count) {
        RETURN_IF_FAILED(grow_l1(modify, entry_count, error));
    }
    modify->target.virtual_len = plan->virtual_len;
    RETURN_IF_FAILED(!modify->is_data_external || grow_data(modify, old_len, plan->virtual_len, error));
    RETURN_IF_FAILED(clear_new(modify, old_len, plan->virtual_len, mode != RESIZE_PREALLOCATE_OFF, error));
    if (mode != RESIZE_PREALLOCATE_OFF) {
        RETURN_IF_FAILED(preallocate(modify, old_len, plan->virtual_len, mode, error));
    }
    return set_size(modify, plan->virtual_len, bitmaps, error) && release_l1(modify, former->l1, error);
}

/* Nothing is stored of the disk from voff up to `end`, clusters' borders. */
static bool forget_between(struct qcow2_modify *modify, uint64_t voff, uint64_t end, struct error *error)
{
    while (voff < end) { /* ends: each round goes on by a cluster at least */
        uint64_t len;
        RETURN_IF_FAILED(qcow2_modify_empty_len(modify, voff, &len, error));
        if (len == 0) {
            len = modify->cluster_len;
            RETURN_IF_FAILED(qcow2_modify_forget(modify, voff, error));
        }
        voff += len;
    }
    return true;
}

/* A disk that was to become longer has nothing behind its end, and its old L1 table. */
static bool shorten_again(struct qcow2_modify *modify, const struct former *former, struct error *error)
{
    uint64_t first = first_table_behind(modify, former->virtual_len);
    struct qcow2_l1 new_l1 = l1_of(modify);
    uint64_t len = round_up(former->l1.entry_count * sizeof(struct be64), SECTOR_LEN);
    RETURN_IF_FAILED(qcow2_modify_drop_tables(modify, first, error));
    RETURN_IF_FAILED(forget_between(modify, round_up(former->virtual_len, modify->cluster_len),
                                    min_u64(first * modify->l2_span_len, modify->target.virtual_len), error));
    RETURN_IF_FAILED(qcow2_modify_checkpoint(modify, error));
    if (new_l1.off != former->l1.off) {
        RETURN_IF_FAILED(qcow2_modify_copy_table(modify, former->l1.off, len, new_l1.off, len, error));
        RETURN_IF_FAILED(set_l1(modify, former->l1, error) && release_l1(modify, new_l1, error));
    }
    modify->target.virtual_len = former->virtual_len;
    return qcow2_modify_checkpoint(modify, error) &&
           (!modify->is_data_external || modify->data->len <= former->data_len ||
            qcow2_modify_set_data_len(modify, former->data_len, error));
}

/* After a checkpoint: what is free at the end of the file is given back. */
static bool trim(struct qcow2_modify *modify, struct error *error)
{
    RETURN_IF_FAILED(qcow2_modify_give_back(modify, error));
    RETURN_IF_FAILED(qcow2_modify_drop_empty_blocks(modify, 0, error));
    modify->end_cluster = 0;
    /* In a damaged image, metadata may lie where nothing is counted. */
    uint64_t metadata_end;
    RETURN_IF_FAILED(qcow2_overlap_end(&modify->overlap, &metadata_end, error));
    RETURN_IF_FAILED(qcow2_modify_used_end(modify, &modify->kept_len, error));
    modify->kept_len = max_u64(modify->kept_len, metadata_end);
    return true;
}

static bool shrink(struct qcow2_modify *modify, uint64_t new_len, struct qcow2_resize_bitmaps *bitmaps,
                   struct error *error)
{
    uint64_t start = round_up(new_len, modify->cluster_len);
    uint64_t first = first_table_behind(modify, new_len);
    uint64_t end = min_u64(first * modify->l2_span_len, modify->target.virtual_len);
    uint64_t empty_len = 0;
    RETURN_IF_FAILED(start >= end || qcow2_modify_empty_len(modify, start, &empty_len, error));
    /* The one table that is changed, and may be a snapshot's, too: nothing else takes room. */
    RETURN_IF_FAILED(start >= end || empty_len > 0 || qcow2_modify_prepare(modify, start, error));
    bitmaps->is_disk_other = true;
    RETURN_IF_FAILED(forget_between(modify, start, end, error));
    RETURN_IF_FAILED(qcow2_modify_drop_tables(modify, first, error));
    RETURN_IF_FAILED(set_size(modify, new_len, bitmaps, error));
    RETURN_IF_FAILED(!modify->is_data_external || qcow2_modify_set_data_len(modify, new_len, error));
    return trim(modify, error);
}

bool qcow2_make_empty(struct target *target, struct error *error)
{
    struct qcow2_modify *modify = qcow2_modify_of(target);
    modify->keeps_bitmaps = true;
    return qcow2_modify_begin(modify, error) && qcow2_modify_drop_tables(modify, 0, error) && trim(modify, error);
}

static bool resize(struct qcow2_modify *modify, const struct resize_plan *plan, struct qcow2_resize_bitmaps *bitmaps,
                   struct former *former, struct error *error)
{
    RETURN_IF_FAILED(qcow2_resize_check_l1(modify, plan->virtual_len, error));
    RETURN_IF_FAILED(qcow2_resize_bitmaps_begin(modify, plan->virtual_len, bitmaps, error));
    RETURN_IF_FAILED(qcow2_modify_begin(modify, error));
    RETURN_IF_FAILED(plan->virtual_len >= former->virtual_len ? grow(modify, plan, bitmaps, former, error)
                                                              : shrink(modify, plan->virtual_len, bitmaps, error));
    return qcow2_modify_finish(&modify->target, plan->sync, error);
}

bool qcow2_resize(struct image *image, const struct resize_plan *plan, struct error *error)
{
    struct qcow2_resize_bitmaps bitmaps;
    struct qcow2_modify *modify;
    RETURN_IF_FAILED(check_resizable(image, plan, error));
    RETURN_IF_FAILED(qcow2_modify_open(image, &modify, error));
    modify->keeps_bitmaps = true;
    struct former former = {.virtual_len = image->virtual_len, .data_len = modify->data->len, .l1 = l1_of(modify)};
    if (!resize(modify, plan, &bitmaps, &former, error)) {
        struct error ignored = {0}; /* the one that there was is the one to tell */
        bool is_back = qcow2_modify_take_back(modify, &ignored) &&
                       (!former.has_changed || bitmaps.is_disk_other || shorten_again(modify, &former, &ignored));
        (void)is_back;
        qcow2_modify_abandon(&modify->target);
        qcow2_resize_bitmaps_undo(&bitmaps);
        return false;
    }
    return true;
}
