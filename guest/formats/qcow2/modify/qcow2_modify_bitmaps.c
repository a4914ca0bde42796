/* SPDX-License-Identifier: Apache-2.0 */
/* Bitmaps that an image that exists gets, and the header that leads to them. */
#include "guest/formats/qcow2/modify/qcow2_header_change.h"

static bool allocate(struct target *target, uint64_t count, uint64_t *ret_off, struct error *error)
{
    return qcow2_modify_take_loose(qcow2_modify_of(target), count, ret_off, error);
}

static bool write(struct target *target, uint64_t off, const uint8_t *cluster, uint32_t len, struct error *error)
{
    struct qcow2_modify *modify = qcow2_modify_of(target);
    (void)len; /* the cluster may have had another content */
    return qcow2_modify_write(modify, off, cluster, modify->cluster_len, 0, error);
}

struct qcow2_bitmap_store qcow2_modify_bitmap_store(struct qcow2_modify *modify)
{
    return (struct qcow2_bitmap_store){
        .target = &modify->target, .cluster_len = modify->cluster_len, .allocate = allocate, .write = write};
}

bool qcow2_modify_begin_bitmaps(struct target *target, struct image *source, struct error *error)
{
    struct qcow2_modify *modify = qcow2_modify_of(target);
    if (modify->qcow2->header.version < 3) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Format driver 'qcow2' does not support bitmaps");
    }
    modify->bitmaps = (struct qcow2_bitmap_copy){
        .store = qcow2_modify_bitmap_store(modify),
        .existing = modify->image,
    };
    return qcow2_bitmap_copy_begin(&modify->bitmaps, source, modify->image->environment->arena, error);
}

/* A header that leads to a directory; without entries there is none. */
static bool make_header(struct qcow2_modify *modify, uint32_t count, uint64_t off, uint64_t len,
                        struct qcow2_header_change *change, struct error *error)
{
    const struct qcow2_bitmaps_extension_disk disk = {
        .nb_bitmaps = be32_make(count), .directory_size = be64_make(len), .directory_offset = be64_make(off)};
    RETURN_IF_FAILED(qcow2_header_change_begin(modify, change, error));
    change->header.autoclear_features &= ~QCOW2_AUTOCLEAR_BITMAPS;
    change->header.autoclear_features |= count > 0 ? QCOW2_AUTOCLEAR_BITMAPS : 0;
    return qcow2_header_change_extension(change, QCOW2_EXTENSION_BITMAPS, count > 0 ? &disk : NULL, sizeof(disk),
                                         error) &&
           qcow2_header_change_check(change, error);
}

bool qcow2_modify_check_directory(struct qcow2_modify *modify, struct error *error)
{
    static struct qcow2_header_change change; /* large */
    return make_header(modify, 1, 0, 0, &change, error);
}

bool qcow2_modify_set_directory(struct qcow2_modify *modify, uint32_t count, uint64_t off, uint64_t len,
                                struct error *error)
{
    static struct qcow2_header_change change; /* large */
    struct qcow2_extensions *extensions = &modify->qcow2->extensions;
    RETURN_IF_FAILED(make_header(modify, count, off, len, &change, error));
    RETURN_IF_FAILED(qcow2_header_change_write(&change, error));
    if (extensions->bitmap_count > 0) {
        RETURN_IF_FAILED(qcow2_modify_release(modify, extensions->bitmap_directory_off,
                                              extensions->bitmap_directory_len, QCOW2_AREA_BITMAP_DIRECTORY, error));
    }
    extensions->has_stale_bitmaps = false;
    extensions->bitmap_count = count;
    extensions->bitmap_directory_off = off;
    extensions->bitmap_directory_len = len;
    return true;
}

bool qcow2_modify_add_bitmaps(struct target *target, struct image *source, struct error *error)
{
    struct qcow2_modify *modify = qcow2_modify_of(target);
    const struct qcow2_bitmap_copy *bitmaps = &modify->bitmaps;
    if (bitmaps->count == 0) {
        return true;
    }
    RETURN_IF_FAILED(qcow2_modify_begin(modify, error));
    RETURN_IF_FAILED(qcow2_modify_pack_close(modify, error));
    RETURN_IF_FAILED(qcow2_modify_checkpoint(modify, error));
    RETURN_IF_FAILED(qcow2_bitmap_copy_run(&modify->bitmaps, source, error));
    RETURN_IF_FAILED(qcow2_modify_set_directory(modify, bitmaps->count, bitmaps->store.directory_off,
                                                bitmaps->directory_len, error));
    return target_check(target, error);
}
