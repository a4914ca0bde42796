/* SPDX-License-Identifier: Apache-2.0 */
/* Bitmaps that an image that exists gets, and the header that leads to them. */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/qcow2/change/qcow2_modify.h"

/* In the header. */
#define HEADER_BACKING_NAME_OFF 8u
#define HEADER_AUTOCLEAR_OFF 88u

/* A bitmap directory; without entries there is none. */
struct directory {
    uint32_t count;
    uint64_t off;
    uint64_t len;
};

static bool allocate(struct target *target, uint64_t count, uint64_t *ret_off, struct error *error)
{
    struct qcow2_modify *modify = qcow2_modify_of(target);
    return count == 1 ? qcow2_modify_take(modify, 1, ret_off, &count, error)
                      : qcow2_modify_take_run(modify, count, ret_off, error);
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

/* The header and what follows it, put together anew in memory. */
struct rebuild {
    uint8_t *bytes;
    uint64_t len;
    uint64_t len_max;
};

static bool rebuild_put(struct rebuild *rebuild, const void *bytes, uint64_t len)
{
    uint64_t padded_len = round_up(len, 8);
    if (padded_len > rebuild->len_max - rebuild->len) {
        return false;
    }
    memcpy(rebuild->bytes + rebuild->len, bytes, len);
    memset(rebuild->bytes + rebuild->len + len, 0, padded_len - len);
    rebuild->len += padded_len;
    return true;
}

/* The extensions that stay. They were read when the image was opened, and lie within the first cluster. */
static bool rebuild_extensions(struct rebuild *rebuild, const uint8_t *old, uint64_t off, uint64_t end_off,
                               bool drops_names)
{
    while (off + sizeof(struct qcow2_extension_disk) <= end_off) { /* ends: each round goes on by a head at least */
        struct qcow2_extension_disk head;
        memcpy(&head, old + off, sizeof(head));
        uint64_t len = sizeof(head) + be32_get(head.len);
        uint32_t type = be32_get(head.type);
        if (type == QCOW2_EXTENSION_END || len > end_off - off) {
            break;
        }
        if (type != QCOW2_EXTENSION_BITMAPS && !(drops_names && type == QCOW2_EXTENSION_FEATURE_NAMES) &&
            !rebuild_put(rebuild, old + off, len)) {
            return false;
        }
        off += round_up(len, 8);
    }
    return true;
}

static bool rebuild_all(const struct qcow2_modify *modify, const uint8_t *old, const struct directory *directory,
                        bool drops_names, struct rebuild *rebuild)
{
    const struct qcow2_header *header = &modify->qcow2->header;
    const struct {
        struct qcow2_extension_disk head;
        struct qcow2_bitmaps_extension_disk bitmaps;
    } extension = {
        .head = {be32_make(QCOW2_EXTENSION_BITMAPS), be32_make(sizeof(struct qcow2_bitmaps_extension_disk))},
        .bitmaps = {.nb_bitmaps = be32_make(directory->count),
                    .directory_size = be64_make(directory->len),
                    .directory_offset = be64_make(directory->off)},
    };
    static const struct qcow2_extension_disk end;
    bool has_name = header->backing_name_off != 0;
    uint64_t features = header->autoclear_features & ~QCOW2_AUTOCLEAR_BITMAPS;
    rebuild->len = 0;
    if (!rebuild_put(rebuild, old, header->header_len) ||
        !rebuild_extensions(rebuild, old, header->header_len, has_name ? header->backing_name_off : modify->cluster_len,
                            drops_names) ||
        (directory->count > 0 && !rebuild_put(rebuild, &extension, sizeof(extension))) ||
        !rebuild_put(rebuild, &end, sizeof(end))) {
        return false;
    }
    struct be64 name_off = be64_make(has_name ? rebuild->len : 0);
    struct be64 autoclear = be64_make(features | (directory->count > 0 ? QCOW2_AUTOCLEAR_BITMAPS : 0));
    memcpy(rebuild->bytes + HEADER_BACKING_NAME_OFF, &name_off, sizeof(name_off));
    memcpy(rebuild->bytes + HEADER_AUTOCLEAR_OFF, &autoclear, sizeof(autoclear));
    return !has_name || rebuild_put(rebuild, old + header->backing_name_off, header->backing_name_len);
}

/* The new header in modify->store, `*ret_len` bytes. Names of features are a courtesy. */
static bool make_header(struct qcow2_modify *modify, const struct directory *directory, uint64_t *ret_len,
                        struct error *error)
{
    uint64_t len = min_u64(modify->cluster_len, QCOW2_STORE_LEN_MAX);
    const struct qcow2_header *header = &modify->qcow2->header;
    uint8_t *old = modify->bounce;
    struct rebuild rebuild = {.bytes = modify->store, .len_max = len};
    RETURN_IF_FAILED(target_settle(&modify->target, error)); /* nobody has the bounce memory any more */
    RETURN_IF_FAILED(cache_read(modify->image->environment->cache, modify->target.file, 0, old, (size_t)len, error));
    if (header->backing_name_off + header->backing_name_len > len ||
        (!rebuild_all(modify, old, directory, false, &rebuild) &&
         !rebuild_all(modify, old, directory, true, &rebuild))) {
        return error_set(error, ERROR_UNSUPPORTED, modify->target.file->name,
                         "the header has no room to tell of bitmaps");
    }
    memset(modify->store + rebuild.len, 0, len - rebuild.len);
    *ret_len = len;
    return true;
}

bool qcow2_modify_check_directory(struct qcow2_modify *modify, struct error *error)
{
    const struct directory directory = {.count = 1};
    uint64_t len;
    return make_header(modify, &directory, &len, error);
}

bool qcow2_modify_set_directory(struct qcow2_modify *modify, uint32_t count, uint64_t off, uint64_t len,
                                struct error *error)
{
    const struct directory directory = {.count = count, .off = off, .len = len};
    struct qcow2_header *header = &modify->qcow2->header;
    struct qcow2_extensions *extensions = &modify->qcow2->extensions;
    uint64_t header_len;
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    RETURN_IF_FAILED(make_header(modify, &directory, &header_len, error));
    RETURN_IF_FAILED(qcow2_modify_write(modify, 0, modify->store, header_len, QCOW2_AREA_HEADER, error));
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    /* The header is parsed no more, but for where the name of the backing file is now. */
    if (header->backing_name_off != 0) {
        struct be64 name_off;
        memcpy(&name_off, modify->store + HEADER_BACKING_NAME_OFF, sizeof(name_off));
        header->backing_name_off = be64_get(name_off);
    }
    if (extensions->bitmap_count > 0) {
        RETURN_IF_FAILED(qcow2_modify_release(modify, extensions->bitmap_directory_off,
                                              extensions->bitmap_directory_len, QCOW2_AREA_BITMAP_DIRECTORY, error));
    }
    header->autoclear_features &= ~QCOW2_AUTOCLEAR_BITMAPS;
    header->autoclear_features |= count > 0 ? QCOW2_AUTOCLEAR_BITMAPS : 0;
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
