/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/modify/qcow2_modify.h"

#include "base/checked.h"
#include "guest/formats/qcow2/layout/qcow2_header_disk.h"
#include "guest/image/write/cipher_writer.h"

#define BUFFER_ALIGN 4096u
/* Counters that are looked at for free clusters, before the image grows at its end: a tenth of a second. */
#define SEARCH_MAX (1ull << 20)

static bool check_writable(const struct image *image, const struct qcow2 *qcow2, struct error *error)
{
    const struct qcow2_header *header = &qcow2->header;
    const char *place = image->file->name;
    if ((header->incompatible_features & QCOW2_INCOMPATIBLE_CORRUPT) != 0) {
        return error_set(error, ERROR_MALFORMED, place, "Image is corrupt; cannot be opened read/write");
    }
    if (image->is_encrypted && image->cipher == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, place, "the image was opened without its key");
    }
    if (image->is_dirty) {
        return error_set(error, ERROR_UNSUPPORTED, place,
                         "the image is marked as dirty: its reference counts must be repaired before it is written to");
    }
    /* Behind the end all counts are 0: the file would grow to it, and its first clusters would be free. */
    if (header->refcount_table_off >= image->file->len) {
        return error_set(error, ERROR_MALFORMED, place,
                         "the refcount table is behind the end of the file (offset 0x%llx)",
                         (unsigned long long)header->refcount_table_off);
    }
    if (qcow2->data_file != image->file && !qcow2->data_file->is_resizable) {
        return error_set(error, ERROR_HOST, place, "the data file cannot be written to");
    }
    return true;
}

/* Features that are not known, and might say that something fits the disk (qcow2.txt, "Autoclear features"). */
static bool clear_features(struct qcow2_modify *modify, struct error *error)
{
    struct qcow2_header *header = &modify->qcow2->header;
    uint64_t kept = header->autoclear_features & QCOW2_AUTOCLEAR_KNOWN;
    if (header->version < 3 || header->autoclear_features == kept) {
        return true;
    }
    header->autoclear_features = kept;
    RETURN_IF_FAILED(
        qcow2_modify_store_be64(modify, QCOW2_HEADER_OFF(autoclear_features), kept, QCOW2_AREA_HEADER, error));
    return qcow2_modify_flush(modify, error);
}

bool qcow2_modify_begin(struct qcow2_modify *modify, struct error *error)
{
    if (modify->has_begun) {
        return true;
    }
    modify->has_begun = true;
    return clear_features(modify, error) && qcow2_modify_tidy_l1(modify, error) &&
           (modify->keeps_bitmaps || qcow2_modify_track_begin(modify, error));
}

bool qcow2_modify_finish(struct target *target, bool sync, struct error *error)
{
    struct qcow2_modify *modify = qcow2_modify_of(target);
    RETURN_IF_FAILED(qcow2_modify_checkpoint(modify, error));
    RETURN_IF_FAILED(qcow2_modify_track_end(modify, error));
    RETURN_IF_FAILED(qcow2_modify_give_back(modify, error));
    uint64_t end_off = modify->end_cluster << modify->qcow2->header.cluster_bits;
    uint64_t len = max_u64(modify->kept_len, end_off);
    if (target->file->is_resizable && target->file->len > len) {
        RETURN_IF_FAILED(target_set_len(&modify->target, target->file, len, error));
    }
    return sync ? qcow2_modify_flush(modify, error) : target_settle(&modify->target, error);
}

static bool take_memory(struct qcow2_modify *modify, struct error *error)
{
    struct arena *arena = modify->image->environment->arena;
    modify->store = arena_allocate(arena, QCOW2_STORE_LEN_MAX, BUFFER_ALIGN);
    modify->bounce = arena_allocate(arena, modify->cluster_len, BUFFER_ALIGN);
    modify->zeros = arena_allocate(arena, modify->cluster_len, BUFFER_ALIGN);
    bool has_slices = qcow2_slices_init(&modify->slices, arena, modify->cluster_len);
    if (!has_slices || modify->store == NULL || modify->bounce == NULL || modify->zeros == NULL) {
        return error_set(error, ERROR_LIMIT, modify->target.file->name, "no memory is left to write to the image");
    }
    return true;
}

bool qcow2_modify_open(struct image *image, struct qcow2_modify **ret_modify, struct error *error)
{
    struct qcow2 *qcow2 = qcow2_of(image);
    const struct qcow2_header *header = &qcow2->header;
    RETURN_IF_FAILED(check_writable(image, qcow2, error));
    struct qcow2_modify *modify =
        arena_allocate(image->environment->arena, sizeof(*modify), _Alignof(struct qcow2_modify));
    if (modify == NULL) {
        return error_set(error, ERROR_LIMIT, image->file->name, "no memory is left to write to the image");
    }
    uint64_t clusters = (image->file->len + header->cluster_len - 1) >> header->cluster_bits;
    *modify = (struct qcow2_modify){
        .target =
            {
                .file = image->file,
                .io = image->environment->io,
                .virtual_len = image->virtual_len,
                .unit_len = header->cluster_len / (qcow2_has_extended_l2(header) ? QCOW2_SUBCLUSTER_COUNT : 1),
                .takes_copies = qcow2->data_file->takes_copies && image->cipher == NULL,
                .has_backing = image->backing != NULL || image->backing_name.is_set,
            },
        .image = image,
        .qcow2 = qcow2,
        .data = qcow2->data_file,
        .is_data_external = qcow2->data_file != image->file,
        .cluster_len = header->cluster_len,
        .granule_len = header->cluster_len / (qcow2_has_extended_l2(header) ? QCOW2_SUBCLUSTER_COUNT : 1),
        .l2_span_len = (uint64_t)header->cluster_len << qcow2_l2_bits(header),
        .uncut_len = image->file->len,
        .kept_len = image->file->len,
        .reserve = qcow2_reserve_make(),
        .search_next = 1,
        .search_left = SEARCH_MAX,
        .append_next = clusters,
    };
    RETURN_IF_FAILED(take_memory(modify, error));
    RETURN_IF_FAILED(image->cipher == NULL || cipher_writer_make(image->environment->arena, image->environment->io,
                                                                 image->cipher, &modify->cipher, error));
    RETURN_IF_FAILED(qcow2_overlap_init(&modify->overlap, image, error));
    RETURN_IF_FAILED(qcow2_modify_find_odd_blocks(modify, &modify->has_odd_blocks, error));
    if (!image->file->is_resizable) { /* a device: its end says nothing of the image */
        uint64_t end_off;
        RETURN_IF_FAILED(qcow2_modify_used_end(modify, &end_off, error));
        modify->append_next = end_off >> header->cluster_bits;
    }
    *ret_modify = modify;
    return true;
}
