/* SPDX-License-Identifier: Apache-2.0 */
/* What the target's operations do to a modified image's disk: clusters get data, or none. */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/qcow2/modify/qcow2_modify.h"
#include "guest/image/write/cipher_writer.h"

/* What is written: memory, or a part of another file. */
struct source {
    const uint8_t *data; /* NULL: a file */
    struct file *file;
    uint64_t file_off;
};

/* What is to happen to one cluster. */
struct cluster_write {
    uint64_t cluster_voff;
    struct qcow2_l2_entry old;
    uint64_t data_start; /* bytes within the cluster: what is written */
    uint64_t data_end;
    uint64_t store_start; /* and what must be stored for that */
    uint64_t store_end;
    bool is_in_place;  /* its storage is only the cluster's own; otherwise it gets a new one */
    uint64_t host_off; /* then: where it is in the file */
};

bool qcow2_modify_has_storage(const struct qcow2_modify *modify, struct qcow2_l2_entry entry)
{
    return qcow2_l2_has_place(&modify->qcow2->header, entry.descriptor);
}

static uint32_t data_bits(const struct qcow2_modify *modify, struct qcow2_l2_entry entry)
{
    return qcow2_l2_data_bits(&modify->qcow2->header, entry);
}

static uint32_t zero_bits(const struct qcow2_modify *modify, struct qcow2_l2_entry entry)
{
    return qcow2_l2_zero_bits(&modify->qcow2->header, entry);
}

/* Version 2 has no such entry: nobody reads it, and it stays only until the whole cluster is replaced. */
static bool is_zero_in_version_2(const struct qcow2_modify *modify, struct qcow2_l2_entry entry)
{
    return modify->qcow2->header.version < 3 && zero_bits(modify, entry) != 0;
}

/* Bits of the granules from `from` up to `to`, both at granules' borders. */
static uint32_t bits_between(const struct qcow2_modify *modify, uint64_t from, uint64_t to)
{
    if (to - from == modify->cluster_len) {
        return QCOW2_SUBCLUSTERS_ALL;
    }
    uint32_t first = (uint32_t)(from / modify->granule_len);
    return (uint32_t)(((1ull << (to / modify->granule_len)) - 1) & ~((1ull << first) - 1));
}

static bool has_bit(const struct qcow2_modify *modify, uint32_t bits, uint64_t pos)
{
    return (bits >> (pos / modify->granule_len) & 1) != 0;
}

/* `bits` is not 0. */
static uint64_t first_bit(uint32_t bits)
{
    return (uint32_t)__builtin_ctz(bits);
}

static uint64_t last_bit(uint32_t bits)
{
    return 31 - (uint32_t)__builtin_clz(bits);
}

/* The cluster's storage, checked. */
static bool find_storage(struct qcow2_modify *modify, struct cluster_write *planned, struct error *error)
{
    uint64_t off = qcow2_l2_off(planned->old.descriptor);
    bool is_off = modify->is_data_external ? off == planned->cluster_voff
                                           : off % modify->cluster_len == 0 && off < modify->data->len;
    if (modify->is_data_external && qcow2_l2_is_compressed(planned->old.descriptor)) {
        return error_set(error, ERROR_MALFORMED, modify->target.file->name,
                         "Compressed cluster entry found in image with external data "
                         "file (disk offset %#llx)",
                         (unsigned long long)planned->cluster_voff);
    }
    if (!qcow2_modify_has_storage(modify, planned->old)) {
        return true;
    }
    if (!is_off) {
        return error_set(error, ERROR_MALFORMED, modify->target.file->name,
                         "Cluster allocation offset %#llx is not one (disk offset %#llx)", (unsigned long long)off,
                         (unsigned long long)planned->cluster_voff);
    }
    planned->is_in_place = modify->is_data_external || (planned->old.descriptor & QCOW2_COPIED) != 0;
    planned->host_off = off;
    return !planned->is_in_place || modify->is_data_external ||
           qcow2_overlap_check(&modify->overlap, off, modify->cluster_len, 0, error);
}

/* Storage for up to `count` clusters, loose until entries are about to lead there (tie_storage). */
static bool take_storage(struct qcow2_modify *modify, uint64_t cluster_voff, uint64_t count, uint64_t *ret_off,
                         uint64_t *ret_count, struct error *error)
{
    if (!modify->is_data_external) {
        RETURN_IF_FAILED(qcow2_modify_take(modify, count, ret_off, ret_count, error));
        qcow2_modify_loosen(modify, *ret_off, *ret_count);
        return true;
    }
    *ret_off = cluster_voff;
    *ret_count = count;
    return true;
}

static void tie_storage(struct qcow2_modify *modify, const struct cluster_write *planned, uint64_t host_off,
                        uint64_t count)
{
    if (!planned->is_in_place && !modify->is_data_external) {
        qcow2_modify_tie(modify, host_off, count);
    }
}

/* The part of [voff, voff + len) that lies in the first cluster of it. */
static bool plan(struct qcow2_modify *modify, uint64_t voff, uint64_t len, struct cluster_write *ret_planned,
                 struct error *error)
{
    struct cluster_write planned = {.cluster_voff = round_down(voff, modify->cluster_len)};
    planned.data_start = voff - planned.cluster_voff;
    planned.data_end = min_u64(planned.data_start + len, modify->cluster_len);
    RETURN_IF_FAILED(qcow2_modify_get(modify, voff, &planned.old, error));
    RETURN_IF_FAILED(find_storage(modify, &planned, error));
    uint32_t data = data_bits(modify, planned.old);
    planned.store_start = planned.data_start;
    planned.store_end = planned.data_end;
    if (!planned.is_in_place && qcow2_l2_is_compressed(planned.old.descriptor)) {
        planned.store_start = 0;
        planned.store_end = modify->cluster_len;
        *ret_planned = planned;
        return true;
    }
    if (!planned.is_in_place || !has_bit(modify, data, planned.data_start)) {
        planned.store_start = round_down(planned.data_start, modify->granule_len);
    }
    if (!planned.is_in_place || !has_bit(modify, data, planned.data_end - 1)) {
        planned.store_end = round_up(planned.data_end, modify->granule_len);
    }
    if (!planned.is_in_place &&
        data != 0) { /* from its first granule that has data to its last one, the cluster moves */
        planned.store_start = min_u64(planned.store_start, first_bit(data) * modify->granule_len);
        planned.store_end =
            max_u64(planned.store_end, min_u64((last_bit(data) + 1) * modify->granule_len, modify->cluster_len));
    }
    if (modify->is_data_external) { /* it ends where the disk does */
        planned.store_end = min_u64(planned.store_end, modify->target.virtual_len - planned.cluster_voff);
    }
    *ret_planned = planned;
    return true;
}

static bool is_direct(const struct cluster_write *planned)
{
    return planned->store_start == planned->data_start && planned->store_end == planned->data_end;
}

static bool read_compressed(struct qcow2_modify *modify, const struct cluster_write *planned, uint64_t from,
                            uint64_t to, struct error *error)
{
    const uint8_t *cluster;
    struct extent extent = {
        .voff = planned->cluster_voff,
        .len = modify->cluster_len,
        .kind = EXTENT_COMPRESSED,
        .file = modify->target.file,
        .cluster_voff = planned->cluster_voff,
    };
    qcow2_compressed_range(&modify->qcow2->header, planned->old.descriptor, &extent.file_off, &extent.compressed_len);
    RETURN_IF_FAILED(image_read_cluster(modify->image, &extent, &modify->read_memory, &cluster, error));
    memcpy(modify->bounce + from, cluster + from, to - from);
    return true;
}

/* Where sectors that lie at `host_off` are counted from: of LUKS in the file, of the older way on the disk. */
static uint64_t cipher_off_of(const struct qcow2_modify *modify, uint64_t host_off, uint64_t voff)
{
    return modify->qcow2->header.crypt_method == QCOW2_CRYPT_LUKS ? host_off : voff;
}

static bool read_stored(struct qcow2_modify *modify, uint64_t host_off, uint64_t voff, uint8_t *target, uint64_t len,
                        struct error *error)
{
    if (modify->cipher == NULL) {
        return file_read(modify->data, host_off, target, (size_t)len, error);
    }
    const struct extent extent = {
        .voff = voff,
        .len = len,
        .kind = EXTENT_ENCRYPTED,
        .file = modify->data,
        .file_off = host_off,
        .cipher_off = cipher_off_of(modify, host_off, voff),
    };
    return image_read_encrypted(modify->image, &extent, target, error);
}

/* Starts to write a request that has been begun. */
static bool write_stored(struct qcow2_modify *modify, struct target_write *write, uint64_t host_off, uint64_t voff,
                         const uint8_t *data, uint64_t len, struct error *error)
{
    if (modify->cipher == NULL) {
        io_write(modify->target.io, &write->request, modify->data, host_off, data, len);
        return true;
    }
    if (!cipher_write(modify->cipher, &write->request, modify->data, host_off, cipher_off_of(modify, host_off, voff),
                      data, len, error)) {
        modify->target.pending--;
        return false;
    }
    return true;
}

bool qcow2_modify_store_zeros(struct qcow2_modify *modify, uint64_t host_off, uint64_t voff, uint64_t len,
                              struct error *error)
{
    struct target *target = &modify->target;
    if (modify->cipher == NULL) {
        return qcow2_modify_write_zeroes(modify, host_off, len, true, error);
    }
    modify->is_data_unsafe = modify->is_data_external;
    RETURN_IF_FAILED(modify->is_data_external || qcow2_overlap_check(&modify->overlap, host_off, len, 0, error));
    for (uint64_t done = 0, part_len; done < len; done += part_len) {
        struct io_request request = target_own_request(target);
        part_len = min_u64(len - done, CIPHER_WRITE_LEN_MAX);
        if (!cipher_write(modify->cipher, &request, modify->data, host_off + done,
                          cipher_off_of(modify, host_off + done, voff + done), NULL, part_len, error)) {
            target->pending--;
            return false;
        }
        RETURN_IF_FAILED(target_settle(target, error));
    }
    return true;
}

/* What the cluster has had so far, from `from` up to `to`, to the same place of the bounce memory. */
static bool read_old(struct qcow2_modify *modify, const struct cluster_write *planned, uint64_t from, uint64_t to,
                     struct error *error)
{
    if (from < to && qcow2_l2_is_compressed(planned->old.descriptor)) {
        return read_compressed(modify, planned, from, to, error);
    }
    if (from < to && is_zero_in_version_2(modify, planned->old)) {
        return error_set(error, ERROR_MALFORMED, modify->target.file->name,
                         "Zero cluster entry found in pre-v3 image (offset %#llx of the disk)",
                         (unsigned long long)planned->cluster_voff);
    }
    while (from < to) { /* ends: each round goes on to the next granule */
        uint64_t part_end = min_u64(round_down(from, modify->granule_len) + modify->granule_len, to);
        uint8_t *part = modify->bounce + from;
        uint64_t off = qcow2_l2_off(planned->old.descriptor) + from;
        if (has_bit(modify, data_bits(modify, planned->old), from)) {
            RETURN_IF_FAILED(read_stored(modify, off, planned->cluster_voff + from, part, part_end - from, error));
        } else if (has_bit(modify, zero_bits(modify, planned->old), from) || modify->image->backing == NULL) {
            memset(part, 0, part_end - from);
        } else {
            RETURN_IF_FAILED(image_read(modify->image->backing, planned->cluster_voff + from, part, part_end - from,
                                        &modify->read_memory, error));
        }
        from = part_end;
    }
    return true;
}

bool qcow2_modify_storage_of(const struct qcow2_modify *modify, struct qcow2_l2_entry entry, uint64_t *ret_off,
                             uint64_t *ret_len, struct error *error)
{
    qcow2_l2_range(&modify->qcow2->header, entry.descriptor, ret_off, ret_len);
    if (modify->is_data_external) {
        *ret_len = 0; /* nothing is counted there */
    } else if (!qcow2_l2_is_compressed(entry.descriptor) && *ret_off % modify->cluster_len != 0) {
        return error_set(error, ERROR_MALFORMED, modify->target.file->name, "Cluster allocation offset %#llx unaligned",
                         (unsigned long long)*ret_off);
    }
    return true;
}

bool qcow2_modify_release_entry(struct qcow2_modify *modify, struct qcow2_l2_entry entry, struct error *error)
{
    uint64_t off;
    uint64_t len;
    RETURN_IF_FAILED(qcow2_modify_storage_of(modify, entry, &off, &len, error));
    return len == 0 || qcow2_modify_release(modify, off, len, 0, error);
}

/* The cluster's entry, now that [from, to) of it is stored at host_off. */
static bool set_entry(struct qcow2_modify *modify, const struct cluster_write *planned, uint64_t host_off,
                      struct error *error)
{
    struct qcow2_l2_entry entry = {.descriptor = host_off | QCOW2_COPIED};
    if (modify->granule_len < modify->cluster_len) {
        uint32_t bits = bits_between(modify, round_down(planned->store_start, modify->granule_len),
                                     round_up(planned->store_end, modify->granule_len));
        uint32_t data = planned->is_in_place ? data_bits(modify, planned->old) : 0;
        entry.bitmap = qcow2_l2_bitmap_make(data | bits, zero_bits(modify, planned->old) & ~bits);
    }
    if (!planned->is_in_place) {
        RETURN_IF_FAILED(qcow2_modify_release_entry(modify, planned->old, error));
    }
    if (entry.descriptor != planned->old.descriptor || entry.bitmap != planned->old.bitmap) {
        qcow2_modify_set(modify, planned->cluster_voff, entry);
    }
    return target_check(&modify->target, error);
}

/* The bounce memory is free again. */
static void merged_done(struct io_request *request, const struct error *error)
{
    qcow2_modify_of(request->owner)->bounce_write = NULL;
    target_write_done(request, error);
}

/* Old and new data, put together. */
static bool write_merged(struct qcow2_modify *modify, struct target_write *write, const struct cluster_write *planned,
                         const struct source *source, struct error *error)
{
    uint64_t host_off = planned->host_off;
    uint64_t count;
    RETURN_IF_FAILED(target_settle(&modify->target, error));
    if (!planned->is_in_place) {
        RETURN_IF_FAILED(take_storage(modify, planned->cluster_voff, 1, &host_off, &count, error));
    }
    RETURN_IF_FAILED(read_old(modify, planned, planned->store_start, planned->data_start, error));
    RETURN_IF_FAILED(read_old(modify, planned, planned->data_end, planned->store_end, error));
    if (source->data != NULL) {
        memcpy(modify->bounce + planned->data_start, source->data, planned->data_end - planned->data_start);
    } else {
        RETURN_IF_FAILED(file_read(source->file, source->file_off, modify->bounce + planned->data_start,
                                   (size_t)(planned->data_end - planned->data_start), error));
    }
    RETURN_IF_FAILED(qcow2_modify_grow_data_to(modify, host_off + planned->store_end, error));
    tie_storage(modify, planned, host_off, 1);
    RETURN_IF_FAILED(set_entry(modify, planned, host_off, error));
    target_begin_write(&modify->target, write);
    write->request.done = merged_done;
    modify->bounce_write = write;
    if (!write_stored(modify, write, host_off + planned->store_start, planned->cluster_voff + planned->store_start,
                      modify->bounce + planned->store_start, planned->store_end - planned->store_start, error)) {
        modify->bounce_write = NULL;
        return false;
    }
    return true;
}

/* How many clusters from voff on can be written by one request, as the first one is; those that get new storage too. */
static bool run_len(struct qcow2_modify *modify, const struct cluster_write *first, uint64_t voff, uint64_t len,
                    uint64_t *ret_count, struct error *error)
{
    uint64_t span_len = qcow2_modify_slice_span_len(modify);
    uint64_t end = min_u64(voff + len, round_down(voff, span_len) + span_len); /* of what is in the same slice */
    uint64_t count = 1;
    uint64_t next = first->cluster_voff + modify->cluster_len;
    while (next < end && count < QCOW2_RUN_MAX) {
        struct cluster_write planned;
        RETURN_IF_FAILED(plan(modify, next, end - next, &planned, error));
        bool follows = !first->is_in_place || planned.host_off == first->host_off + count * modify->cluster_len;
        if (!is_direct(&planned) || planned.is_in_place != first->is_in_place || !follows) {
            break;
        }
        count++;
        next += modify->cluster_len;
    }
    *ret_count = count;
    return true;
}

/* Only new data, over as many clusters as have neighbouring places. */
static bool write_direct(struct qcow2_modify *modify, struct target_write *write, const struct cluster_write *first,
                         const struct source *source, uint64_t len, uint64_t *ret_len, struct error *error)
{
    uint64_t voff = first->cluster_voff + first->data_start;
    uint64_t host_off = first->host_off;
    uint64_t count;
    len = modify->cipher != NULL ? min_u64(len, CIPHER_WRITE_LEN_MAX) : len;
    RETURN_IF_FAILED(run_len(modify, first, voff, len, &count, error));
    if (!first->is_in_place) {
        RETURN_IF_FAILED(take_storage(modify, first->cluster_voff, count, &host_off, &count, error));
    }
    len = min_u64(len, count * modify->cluster_len - first->data_start);
    RETURN_IF_FAILED(qcow2_modify_grow_data_to(modify, host_off + first->data_start + len, error));
    tie_storage(modify, first, host_off, count);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t part_voff = i == 0 ? voff : first->cluster_voff + i * modify->cluster_len;
        struct cluster_write planned;
        RETURN_IF_FAILED(plan(modify, part_voff, voff + len - part_voff, &planned, error));
        RETURN_IF_FAILED(set_entry(modify, &planned, host_off + i * modify->cluster_len, error));
    }
    target_begin_write(&modify->target, write);
    if (source->data != NULL) {
        RETURN_IF_FAILED(write_stored(modify, write, host_off + first->data_start, voff, source->data, len, error));
    } else {
        io_copy(modify->target.io, &write->request, source->file, source->file_off, modify->data,
                host_off + first->data_start, len, 0);
    }
    *ret_len = len;
    return true;
}

static bool write_source(struct qcow2_modify *modify, struct target_write *write, uint64_t voff,
                         const struct source *source, uint64_t len, uint64_t *ret_len, struct error *error)
{
    struct cluster_write planned;
    RETURN_IF_FAILED(target_check(&modify->target, error));
    if (modify->bounce_write != NULL) { /* a cluster is under way that may be the same one */
        RETURN_IF_FAILED(target_settle(&modify->target, error));
    }
    RETURN_IF_FAILED(qcow2_modify_prepare(modify, voff, error));
    RETURN_IF_FAILED(plan(modify, voff, len, &planned, error));
    if (is_direct(&planned)) {
        RETURN_IF_FAILED(write_direct(modify, write, &planned, source, len, ret_len, error));
    } else {
        RETURN_IF_FAILED(write_merged(modify, write, &planned, source, error));
        *ret_len = planned.data_end - planned.data_start;
    }
    qcow2_modify_note(modify, voff, *ret_len);
    return true;
}

bool qcow2_modify_disk_write(struct target *target, struct target_write *write, uint64_t voff, const void *data,
                             uint64_t len, uint64_t *ret_len, struct error *error)
{
    struct source source = {.data = data};
    return write_source(qcow2_modify_of(target), write, voff, &source, len, ret_len, error);
}

bool qcow2_modify_disk_copy(struct target *target, struct target_write *write, uint64_t voff, struct file *file,
                            uint64_t source_off, uint64_t len, uint32_t zero_len, uint64_t *ret_len,
                            struct error *error)
{
    (void)zero_len; /* detects_zeros is not set */
    struct source source = {.file = file, .file_off = source_off};
    return write_source(qcow2_modify_of(target), write, voff, &source, len, ret_len, error);
}

static void zeros_done(struct target_write *write, const struct error *error)
{
    (void)write;
    (void)error; /* target.error has it */
}

/* Zeros as data, of a part of one cluster. */
static bool write_zeros(struct qcow2_modify *modify, uint64_t voff, uint64_t len, struct error *error)
{
    struct target_write write = {.done = zeros_done};
    uint64_t done_len = 0;
    while (done_len < len) { /* ends: each round writes a sector at least */
        uint64_t part_len;
        RETURN_IF_FAILED(qcow2_modify_disk_write(&modify->target, &write, voff + done_len, modify->zeros,
                                                 len - done_len, &part_len, error));
        RETURN_IF_FAILED(target_settle(&modify->target, error));
        done_len += part_len;
    }
    return true;
}

/* Whether what the image does not have is zeros, and may stay so. Version 2 has no entry that says zeros. */
static bool nothing_is_zeros(const struct qcow2_modify *modify)
{
    return !modify->target.has_backing && (!modify->target.marks_zeros || modify->qcow2->header.version < 3);
}

/* Whether [start, end) of the cluster reads as zeros already, and is to stay as it is. */
static bool is_zero(const struct qcow2_modify *modify, struct qcow2_l2_entry entry, uint64_t start, uint64_t end)
{
    uint32_t bits = bits_between(modify, round_down(start, modify->granule_len), round_up(end, modify->granule_len));
    uint32_t zero = zero_bits(modify, entry);
    if (qcow2_l2_is_compressed(entry.descriptor) || is_zero_in_version_2(modify, entry)) {
        return false;
    }
    if (nothing_is_zeros(modify)) {
        zero |= ~data_bits(modify, entry);
    }
    return (bits & ~zero) == 0;
}

/* A part of one cluster becomes zeros. */
static bool zero_cluster(struct qcow2_modify *modify, uint64_t voff, uint64_t len, struct error *error)
{
    uint64_t start = voff % modify->cluster_len;
    uint64_t end = voff + len == modify->target.virtual_len ? modify->cluster_len : start + len;
    bool has_backing = modify->target.has_backing;
    bool is_whole;
    struct qcow2_l2_entry entry;
    RETURN_IF_FAILED(qcow2_modify_get(modify, voff, &entry, error));
    if (is_zero(modify, entry, start, end)) {
        return true;
    }
    is_whole = (start == 0 && end == modify->cluster_len) ||
               (!has_backing && !qcow2_l2_is_compressed(entry.descriptor) && data_bits(modify, entry) == 0);
    if (is_whole && (modify->qcow2->header.version >= 3 || !has_backing)) {
        /* Zeros also if something comes behind the image later (rebase -u). Version 2 has no such entry. */
        struct qcow2_l2_entry none = modify->qcow2->header.version >= 3 ? qcow2_l2_zero_entry(&modify->qcow2->header)
                                                                        : (struct qcow2_l2_entry){0};
        RETURN_IF_FAILED(qcow2_modify_prepare(modify, voff, error));
        RETURN_IF_FAILED(qcow2_modify_release_entry(modify, entry, error));
        qcow2_modify_set(modify, voff, none);
        return target_check(&modify->target, error);
    }
    return write_zeros(modify, voff, len, error);
}

/* Whole clusters that the image does not have become zeros, as many as there are at voff. */
static bool zero_empty(struct qcow2_modify *modify, uint64_t voff, uint64_t end, uint64_t *ret_len, struct error *error)
{
    struct qcow2_l2_entry entry;
    *ret_len = 0;
    if (modify->qcow2->header.version < 3 || voff % modify->cluster_len != 0 || end - voff < modify->cluster_len) {
        return true;
    }
    RETURN_IF_FAILED(qcow2_modify_get(modify, voff, &entry, error));
    if (entry.descriptor != 0 || entry.bitmap != 0) {
        return true;
    }
    RETURN_IF_FAILED(qcow2_modify_prepare(modify, voff, error));
    *ret_len = qcow2_modify_fill(modify, voff, end, qcow2_l2_zero_entry(&modify->qcow2->header)) - voff;
    return target_check(&modify->target, error);
}

bool qcow2_modify_disk_zero(struct target *target, uint64_t voff, uint64_t len, struct error *error)
{
    struct qcow2_modify *modify = qcow2_modify_of(target);
    uint64_t end = voff + len;
    RETURN_IF_FAILED(target_check(&modify->target, error));
    if (modify->bounce_write != NULL) {
        RETURN_IF_FAILED(target_settle(&modify->target, error));
    }
    RETURN_IF_FAILED(qcow2_modify_begin(modify, error));
    qcow2_modify_note(modify, voff, len); /* as in QEMU, also where there are zeros already */
    if (modify->is_data_external && voff < modify->data->len) {
        uint64_t len_there = min_u64(len, modify->data->len - voff);
        RETURN_IF_FAILED(qcow2_modify_write_zeroes(modify, voff, len_there, true, error));
    }
    while (voff < end) { /* ends: each round goes on to the next cluster */
        uint64_t part_len = 0;
        if (nothing_is_zeros(modify)) {
            RETURN_IF_FAILED(qcow2_modify_empty_len(modify, voff, &part_len, error));
        } else {
            RETURN_IF_FAILED(zero_empty(modify, voff, end, &part_len, error));
        }
        if (part_len == 0) {
            part_len = min_u64(end - voff, modify->cluster_len - voff % modify->cluster_len);
            RETURN_IF_FAILED(zero_cluster(modify, voff, part_len, error));
        }
        voff += part_len;
    }
    return true;
}

bool qcow2_modify_forget(struct qcow2_modify *modify, uint64_t voff, struct error *error)
{
    struct qcow2_l2_entry entry;
    RETURN_IF_FAILED(qcow2_modify_get(modify, voff, &entry, error));
    if (entry.descriptor == 0 && entry.bitmap == 0) {
        return true;
    }
    RETURN_IF_FAILED(qcow2_modify_prepare(modify, voff, error));
    RETURN_IF_FAILED(qcow2_modify_release_entry(modify, entry, error));
    qcow2_modify_set(modify, voff, (struct qcow2_l2_entry){0});
    return target_check(&modify->target, error);
}
