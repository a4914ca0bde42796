/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call looks at one L2 table, in one view of the cache, and joins what follows each other there; of unallocated
 * tables, at as many as there are in one view of the L1 table.
 *
 * A piece is what one entry says of its cluster, or of a run of its subclusters that are alike.
 */
#include "guest/formats/qcow2/open/qcow2_map.h"

#include "base/checked.h"
#include "base/endian.h"
#include "guest/image/tables/extent_end.h"

/* What makes an entry an error. */
enum fault {
    FAULT_NONE,
    FAULT_UNALIGNED,
    FAULT_ZERO_IN_V2,
    FAULT_SUBCLUSTERS,
    FAULT_COMPRESSED_WITH_DATA_FILE,
    FAULT_OFFSET_OF_DATA_FILE,
};

struct piece {
    enum fault fault;
    enum extent_kind kind;
    bool has_file_off;
    uint64_t file_off; /* bytes, of the piece; of a compressed cluster, of its stream */
    uint64_t len;      /* bytes of the disk, from where was asked for */
    uint64_t compressed_len;
};

/* An entry of an L2 table, and which part of its cluster is asked for. */
struct place {
    struct qcow2_l2_entry entry;
    uint64_t voff;       /* of the cluster */
    uint32_t in_cluster; /* bytes into it */
};

static struct piece compressed_piece(const struct qcow2 *qcow2, const struct place *place)
{
    struct piece piece = {.kind = EXTENT_COMPRESSED, .len = qcow2->header.cluster_len - place->in_cluster};
    if (qcow2_has_data_file(&qcow2->header)) {
        piece.fault = FAULT_COMPRESSED_WITH_DATA_FILE;
    }
    qcow2_compressed_range(&qcow2->header, place->entry.descriptor, &piece.file_off, &piece.compressed_len);
    piece.has_file_off = true;
    return piece;
}

/* The host cluster of an entry that has one; checks it. */
static enum fault check_host_cluster(const struct qcow2 *qcow2, const struct place *place, uint64_t cluster_off)
{
    if (cluster_off % qcow2->header.cluster_len != 0) {
        return FAULT_UNALIGNED;
    }
    if (qcow2_has_data_file(&qcow2->header) && cluster_off != place->voff) {
        return FAULT_OFFSET_OF_DATA_FILE;
    }
    return FAULT_NONE;
}

static void set_storage(const struct qcow2 *qcow2, const struct place *place, uint64_t cluster_off, struct piece *piece)
{
    piece->fault = check_host_cluster(qcow2, place, cluster_off);
    piece->has_file_off = true;
    piece->file_off = cluster_off + place->in_cluster;
}

static enum extent_kind data_kind(const struct qcow2 *qcow2)
{
    return qcow2->header.crypt_method != QCOW2_CRYPT_NONE ? EXTENT_ENCRYPTED : EXTENT_DATA;
}

static struct piece standard_piece(const struct qcow2 *qcow2, const struct place *place)
{
    struct piece piece = {.kind = EXTENT_UNALLOCATED, .len = qcow2->header.cluster_len - place->in_cluster};
    uint64_t cluster_off = qcow2_l2_off(place->entry.descriptor);
    if (qcow2_l2_zero_bits(&qcow2->header, place->entry) != 0) {
        piece.kind = EXTENT_ZERO;
        if (cluster_off != 0) {
            set_storage(qcow2, place, cluster_off, &piece);
        }
        if (qcow2->header.version < 3) {
            piece.fault = FAULT_ZERO_IN_V2;
        }
    } else if (qcow2_l2_has_place(&qcow2->header, place->entry.descriptor)) {
        piece.kind = data_kind(qcow2);
        set_storage(qcow2, place, cluster_off, &piece);
    }
    return piece;
}

/* How many of the lowest bits of `bits` are set. */
static uint32_t low_ones(uint32_t bits)
{
    return bits == UINT32_MAX ? 32 : (uint32_t)__builtin_ctz(~bits);
}

static struct piece subcluster_piece(const struct qcow2 *qcow2, const struct place *place)
{
    struct piece piece = {.kind = EXTENT_UNALLOCATED};
    uint32_t subcluster_len = qcow2->header.cluster_len / QCOW2_SUBCLUSTER_COUNT;
    uint32_t index = place->in_cluster / subcluster_len;
    uint32_t allocated = qcow2_l2_bitmap_data(place->entry.bitmap);
    uint32_t zero = qcow2_l2_bitmap_zero(place->entry.bitmap);
    uint32_t alike; /* bits of the subclusters like the one that is asked for, from that one on */
    bool has_cluster = qcow2_l2_has_place(&qcow2->header, place->entry.descriptor);
    if ((zero >> index & 1) != 0) {
        piece.kind = EXTENT_ZERO;
        alike = zero >> index;
    } else if ((allocated >> index & 1) != 0) {
        piece.kind = data_kind(qcow2);
        alike = allocated >> index;
    } else {
        alike = ~(zero | allocated) >> index;
    }
    uint32_t count = (uint32_t)min_u64(low_ones(alike), QCOW2_SUBCLUSTER_COUNT - index);
    piece.len = (uint64_t)(index + count) * subcluster_len - place->in_cluster;
    if (has_cluster) {
        set_storage(qcow2, place, qcow2_l2_off(place->entry.descriptor), &piece);
    }
    if ((zero & allocated) != 0 || (!has_cluster && allocated != 0)) {
        piece.fault = FAULT_SUBCLUSTERS;
    }
    return piece;
}

static struct piece piece_of(const struct qcow2 *qcow2, const struct place *place)
{
    if (qcow2_l2_is_compressed(place->entry.descriptor)) {
        return compressed_piece(qcow2, place);
    }
    return qcow2_has_extended_l2(&qcow2->header) ? subcluster_piece(qcow2, place) : standard_piece(qcow2, place);
}

/* An error in QEMU's words. `l2_index` is the entry's number in its table. */
static bool report(const struct qcow2 *qcow2, const struct place *place, enum fault fault, uint64_t l2_index,
                   struct error *error)
{
    unsigned long long l2_off = qcow2->l2_off;
    unsigned long long cluster_off = qcow2_l2_off(place->entry.descriptor);
    unsigned index = (unsigned)l2_index;
    switch (fault) {
    case FAULT_UNALIGNED:
        return error_set(error, ERROR_MALFORMED, NULL,
                         "Cluster allocation offset %#llx unaligned (L2 offset: %#llx, L2 index: %#x)", cluster_off,
                         l2_off, index);
    case FAULT_ZERO_IN_V2:
        return error_set(error, ERROR_MALFORMED, NULL,
                         "Zero cluster entry found in pre-v3 image (L2 offset: %#llx, L2 index: %#x)", l2_off, index);
    case FAULT_COMPRESSED_WITH_DATA_FILE:
        return error_set(
            error, ERROR_MALFORMED, NULL,
            "Compressed cluster entry found in image with external data file (L2 offset: %#llx, L2 index: %#x)", l2_off,
            index);
    case FAULT_OFFSET_OF_DATA_FILE:
        return error_set(error, ERROR_MALFORMED, NULL,
                         "External data file host cluster offset %#llx does not match guest cluster offset: %#llx, L2 "
                         "index: %#x)",
                         cluster_off, (unsigned long long)place->voff, index);
    case FAULT_SUBCLUSTERS:
    case FAULT_NONE:
    default:
        return error_set(error, ERROR_MALFORMED, NULL, "Invalid cluster entry found  (L2 offset: %#llx, L2 index: %#x)",
                         l2_off, index);
    }
}

/* Entries of an L2 table that are in view, from the one of `voff` on. */
struct l2_view {
    struct span bytes;
    uint64_t first_index;
    uint64_t voff; /* of the first entry's cluster */
};

static struct place place_at(const struct qcow2 *qcow2, const struct l2_view *view, uint64_t voff)
{
    const struct qcow2_header *header = &qcow2->header;
    uint64_t cluster = (voff - view->voff) >> header->cluster_bits;
    const uint8_t *bytes = view->bytes.data + cluster * qcow2_l2_entry_len(header);
    struct be64 words[2] = {0};
    memcpy(words, bytes, qcow2_l2_entry_len(header));
    return (struct place){
        .entry = {be64_get(words[0]), be64_get(words[1])},
        .voff = view->voff + (cluster << header->cluster_bits),
        .in_cluster = (uint32_t)voff & (header->cluster_len - 1),
    };
}

static bool continues(const struct extent *extent, const struct piece *piece)
{
    return piece->fault == FAULT_NONE && piece->kind == extent->kind && piece->kind != EXTENT_COMPRESSED &&
           piece->has_file_off == extent->has_file_off &&
           (!piece->has_file_off || piece->file_off == extent->file_off + extent->len);
}

/* The extent at voff, `len` bytes at most, from entries that are in view. */
static bool map_view(struct image *image, const struct l2_view *view, uint64_t voff, uint64_t len,
                     struct extent *ret_extent, struct error *error)
{
    const struct qcow2 *qcow2 = qcow2_of(image);
    uint64_t view_end_voff =
        view->voff + ((uint64_t)(view->bytes.len / qcow2_l2_entry_len(&qcow2->header)) << qcow2->header.cluster_bits);
    uint64_t end_voff = min_u64(voff + len, view_end_voff);
    struct place place = place_at(qcow2, view, voff);
    struct piece piece = piece_of(qcow2, &place);
    if (piece.fault != FAULT_NONE) {
        return report(qcow2, &place, piece.fault,
                      view->first_index + ((voff - view->voff) >> qcow2->header.cluster_bits), error);
    }
    struct extent extent = {
        .voff = voff,
        .len = piece.len,
        .kind = piece.kind,
        .has_file_off = piece.has_file_off,
        .file_off = piece.file_off,
        .file = piece.kind == EXTENT_COMPRESSED ? image->file : qcow2->data_file,
        .compressed_len = piece.compressed_len,
        .cluster_voff = place.voff,
    };
    while (voff + extent.len < end_voff) { /* ends: pieces are not empty */
        place = place_at(qcow2, view, voff + extent.len);
        piece = piece_of(qcow2, &place);
        if (!continues(&extent, &piece)) {
            break;
        }
        extent.len += piece.len;
    }
    extent.len = min_u64(extent.len, end_voff - voff);
    *ret_extent = extent;
    return true;
}

/*
 * Finds the L2 table of voff. Where there is none, *ret_unallocated_len is how far that goes from there; it may go on
 * behind what is in view.
 */
static bool find_l2(struct image *image, uint64_t voff, uint64_t len, uint64_t *ret_unallocated_len,
                    struct error *error)
{
    struct qcow2 *qcow2 = qcow2_of(image);
    uint32_t l1_entry_bits = qcow2->header.cluster_bits + qcow2_l2_bits(&qcow2->header);
    uint64_t index = voff >> l1_entry_bits;
    if (index >= qcow2->l1.entry_count) {
        *ret_unallocated_len = len;
        return true;
    }
    *ret_unallocated_len = 0;
    if (qcow2->l2_off_is_known && qcow2->l2_index == index && qcow2->l2_off != 0) {
        return true;
    }
    struct span bytes;
    struct be64 word;
    uint64_t count = min_u64(qcow2->l1.entry_count - index, ((voff + len - 1) >> l1_entry_bits) - index + 1);
    uint64_t zero_count = 0;
    uint64_t l2_off = 0;
    /* Multiples of 8 lie within one block, so the view has whole entries. */
    RETURN_IF_FAILED(
        cache_view(image->environment->cache, image->file, qcow2->l1.off + index * 8, count * 8, &bytes, error));
    while (span_copy(bytes, zero_count * 8, &word, sizeof(word))) { /* ends: the view does */
        l2_off = be64_get(word) & QCOW2_L1_OFFSET_MASK;
        if (l2_off != 0) {
            break;
        }
        zero_count++;
    }
    if (zero_count > 0) {
        *ret_unallocated_len = ((index + zero_count) << l1_entry_bits) - voff;
        return true;
    }
    if (l2_off % qcow2->header.cluster_len != 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "L2 table offset %#llx unaligned (L1 index: %#llx)",
                         (unsigned long long)l2_off, (unsigned long long)index);
    }
    qcow2->l2_off_is_known = true;
    qcow2->l2_index = index;
    qcow2->l2_off = l2_off;
    return true;
}

/* Whether the extent's first cluster, or its table, is there. */
static void look_for_end(const struct image *image, struct extent *extent)
{
    if (extent->kind == EXTENT_UNALLOCATED) {
        extent->is_missing = qcow2_of(image)->l2_off >= image->file->len;
    } else {
        extent_look_for_end(extent, image->cluster_len);
    }
}

bool qcow2_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error)
{
    struct qcow2 *qcow2 = qcow2_of(image);
    const struct qcow2_header *header = &qcow2->header;
    uint64_t unallocated_len;
    RETURN_IF_FAILED(find_l2(image, voff, len, &unallocated_len, error));
    if (unallocated_len > 0) {
        *ret_extent = (struct extent){
            .voff = voff,
            .len = min_u64(len, unallocated_len),
            .kind = EXTENT_UNALLOCATED,
            .is_missing = qcow2->l1.entry_count > 0 && qcow2->l1.off >= image->file->len,
        };
        return true;
    }
    uint64_t cluster = voff >> header->cluster_bits;
    uint64_t entry_count = 1ull << qcow2_l2_bits(header);
    struct l2_view view = {
        .first_index = cluster & (entry_count - 1),
        .voff = cluster << header->cluster_bits,
    };
    uint64_t wanted = ((voff + len - 1) >> header->cluster_bits) - cluster + 1;
    RETURN_IF_FAILED(cache_view(
        image->environment->cache, image->file, qcow2->l2_off + view.first_index * qcow2_l2_entry_len(header),
        min_u64(wanted, entry_count - view.first_index) * qcow2_l2_entry_len(header), &view.bytes, error));
    struct extent extent;
    RETURN_IF_FAILED(map_view(image, &view, voff, len, &extent, error));
    look_for_end(image, &extent);
    /* Of LUKS sectors are counted by where they lie, of the older way by the disk. */
    extent.cipher_off = header->crypt_method == QCOW2_CRYPT_LUKS ? extent.file_off : voff;
    extent.may_have_holes = extent.kind == EXTENT_DATA && qcow2_has_preallocated_metadata(image);
    *ret_extent = extent;
    return true;
}

bool qcow2_table_at(struct image *image, uint64_t voff, struct table_stretch *ret_stretch, struct error *error)
{
    const struct qcow2 *qcow2 = qcow2_of(image);
    uint32_t l1_entry_bits = qcow2->header.cluster_bits + qcow2_l2_bits(&qcow2->header);
    uint64_t unallocated_len;
    *ret_stretch = (struct table_stretch){1ull << l1_entry_bits, TABLE_NONE};
    RETURN_IF_FAILED(find_l2(image, voff, 1, &unallocated_len, error));
    /* In a data file each cluster has its own place, and a table that is shared is wrong in all stretches but one. */
    if (unallocated_len == 0 && !qcow2_has_data_file(&qcow2->header)) {
        ret_stretch->table = qcow2->l2_off;
    }
    return true;
}
