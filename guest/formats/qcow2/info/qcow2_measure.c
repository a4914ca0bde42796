/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/info/qcow2_measure.h"

#include <string.h>

#include "base/checked.h"
#include "guest/crypto/luks_new.h"
#include "guest/formats/qcow2/open/qcow2_bitmaps.h"
#include "guest/formats/qcow2/open/qcow2_map.h"
#include "guest/formats/qcow2/write/qcow2_options.h"
#include "guest/image/option_values.h"
#include "guest/image/tables/table_memo.h"
#include "guest/runtime/arena.h"

#define TABLE_ENTRY_LEN 8u   /* of L1 and refcount tables, and of a bitmap's table */
#define BITMAP_ENTRY_LEN 24u /* of the bitmap directory, without the name */
/* Disks of this length and more are not made: what is computed from a length stays far below 64 bits. */
#define LEN_MAX (1ull << 62)

/* Also those of the file that an image is made in, as qemu-img takes them together. */
static const struct option_description descriptions[] = OPTION_DESCRIPTIONS(FORMAT_OPTIONS_QCOW2);

static const instar_FormatOption *find(const struct measure_request *request, const char *name)
{
    return options_find(request->options, request->option_count, name);
}

static bool parse_cluster_len(const struct measure_request *request, struct qcow2_layout *layout, struct error *error)
{
    const instar_FormatOption *extended_l2 = find(request, "extended_l2");
    const instar_FormatOption *cluster_size = find(request, "cluster_size");
    uint32_t cluster_bits = QCOW2_CLUSTER_BITS_DEFAULT;
    if (extended_l2 != NULL) {
        RETURN_IF_FAILED(option_flag(extended_l2, &layout->has_extended_l2, error));
    }
    if (cluster_size != NULL) {
        RETURN_IF_FAILED(qcow2_option_cluster_bits(cluster_size, &cluster_bits, error));
    }
    if (layout->has_extended_l2 && cluster_bits < QCOW2_EXTENDED_L2_CLUSTER_BITS_MIN) {
        return error_set(error, ERROR_USAGE, NULL,
                         "Extended L2 entries are only supported with cluster sizes of at least %u bytes",
                         1u << QCOW2_EXTENDED_L2_CLUSTER_BITS_MIN);
    }
    layout->cluster_len = 1u << cluster_bits;
    return true;
}

static bool parse_version(const struct measure_request *request, struct qcow2_layout *layout, struct error *error)
{
    const instar_FormatOption *compat = find(request, "compat");
    if (compat == NULL || strcmp(compat->value, "1.1") == 0) {
        layout->version = 3;
    } else if (strcmp(compat->value, "0.10") == 0) {
        layout->version = 2;
    } else {
        return error_set(error, ERROR_USAGE, NULL, "Invalid compatibility level: '%s'", compat->value);
    }
    return true;
}

static bool parse_refcount_bits(const struct measure_request *request, struct qcow2_layout *layout, struct error *error)
{
    const instar_FormatOption *refcount_bits = find(request, "refcount_bits");
    layout->refcount_order = QCOW2_REFCOUNT_ORDER_DEFAULT;
    if (refcount_bits != NULL) {
        RETURN_IF_FAILED(qcow2_option_refcount_order(refcount_bits, &layout->refcount_order, error));
    }
    if (layout->version < 3 && layout->refcount_order != QCOW2_REFCOUNT_ORDER_DEFAULT) {
        return error_set(error, ERROR_USAGE, NULL,
                         "Different refcount widths than 16 bits require compatibility level 1.1 or above (use "
                         "compat=1.1 or greater)");
    }
    return true;
}

/* Whether all data clusters are preallocated. */
static bool parse_preallocation(const struct measure_request *request, bool *ret_is_full, struct error *error)
{
    const instar_FormatOption *preallocation = find(request, "preallocation");
    const char *value = preallocation != NULL ? preallocation->value : "off";
    bool is_full = strcmp(value, "falloc") == 0 || strcmp(value, "full") == 0;
    if (!is_full && strcmp(value, "off") != 0 && strcmp(value, "metadata") != 0) {
        return error_set(error, ERROR_USAGE, NULL, "invalid parameter value: %s", value);
    }
    *ret_is_full = is_full;
    return true;
}

/* In the order in which qemu-img finds fault with options. Unlike to create, it takes what has no influence on sizes.
 */
static bool parse_options(const struct measure_request *request, struct qcow2_layout *layout, bool *ret_is_preallocated,
                          struct error *error)
{
    RETURN_IF_FAILED(options_check(request->options, request->option_count, descriptions, error));
    RETURN_IF_FAILED(parse_cluster_len(request, layout, error));
    RETURN_IF_FAILED(parse_version(request, layout, error));
    RETURN_IF_FAILED(parse_refcount_bits(request, layout, error));
    RETURN_IF_FAILED(parse_preallocation(request, ret_is_preallocated, error));
    return true;
}

/* Bytes of the clusters that a LUKS header takes, if there is to be one. */
static bool crypto_len(const struct measure_request *request, uint32_t cluster_len, uint64_t *ret_len,
                       struct error *error)
{
    static const char prefix[] = "encrypt.";
    const instar_FormatOption *format = find(request, "encrypt.format");
    struct luks_options options;
    struct image_key key;
    uint64_t len;
    *ret_len = 0;
    if (format == NULL || strcmp(format->value, "luks") != 0) {
        return true;
    }
    RETURN_IF_FAILED(luks_options_parse(request->options, request->option_count, prefix, &options, error));
    RETURN_IF_FAILED(luks_new_key(&options, request->environment, prefix, &key, error));
    RETURN_IF_FAILED(luks_new_payload_off(&options, &len, error));
    *ret_len = round_up(len, cluster_len);
    return true;
}

/* Bytes of the refcount table and blocks for so many other clusters: they also count themselves. */
static uint64_t refcounts_len(const struct qcow2_layout *layout, uint64_t clusters)
{
    uint64_t blocks_per_table_cluster = layout->cluster_len / TABLE_ENTRY_LEN;
    uint64_t counts_per_block = (uint64_t)layout->cluster_len * 8 >> layout->refcount_order;
    uint64_t tables = 0, blocks = 0, last;
    do { /* ends: it grows by less each time, as a block counts 64 clusters at least */
        last = tables + blocks;
        blocks = divide_up(clusters + tables + blocks, counts_per_block);
        tables = divide_up(blocks, blocks_per_table_cluster);
    } while (tables + blocks != last);
    return (tables + blocks) * layout->cluster_len;
}

bool qcow2_full_len(const struct qcow2_layout *layout, uint64_t virtual_len, uint64_t *ret_len, struct error *error)
{
    uint64_t cluster_len = layout->cluster_len;
    uint64_t l2_entry_len = layout->has_extended_l2 ? 16 : 8;
    if (virtual_len > LEN_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "the disk is too long to be measured");
    }
    uint64_t l2_tables = divide_up(virtual_len / cluster_len, cluster_len / l2_entry_len);
    uint64_t l1_len = round_up(l2_tables * TABLE_ENTRY_LEN, cluster_len);
    uint64_t len = cluster_len + l2_tables * cluster_len + l1_len + virtual_len; /* the header is the first cluster */
    *ret_len = len + refcounts_len(layout, len / cluster_len);
    return true;
}

/* Of the extent at *voff, up to `end`: the bytes of the new image's clusters that have data of it. Moves *voff on. */
static bool data_len_of_extent(struct image *source, uint64_t *voff, uint64_t end, uint64_t cluster_len,
                               uint64_t *ret_len, struct error *error)
{
    struct chain_extent chain;
    RETURN_IF_FAILED(image_status(source, *voff, end - *voff, &chain, error));
    uint64_t extent_end = *voff + chain.extent.len;
    *ret_len = 0;
    if (chain.is_present && chain.extent.kind != EXTENT_ZERO && !chain.is_hole) {
        extent_end = round_up(extent_end, cluster_len);
        *ret_len = extent_end - round_down(*voff, cluster_len);
    }
    *voff = extent_end;
    return true;
}

/* The same of a whole stretch, of whole clusters: where an extent goes on behind it, that begins anew there. */
static bool data_len_of_stretch(struct image *source, uint64_t voff, uint64_t len, uint64_t cluster_len,
                                uint64_t *ret_len, struct error *error)
{
    uint64_t end = voff + len;
    uint64_t sum = 0;
    while (voff < end) { /* ends: extents are not empty */
        uint64_t extent_len;
        RETURN_IF_FAILED(data_len_of_extent(source, &voff, end, cluster_len, &extent_len, error));
        sum += extent_len;
    }
    *ret_len = sum;
    return true;
}

/* The part of data_len at *voff: a stretch whose table was met before, or is met now, or one extent. Moves *voff on. */
static bool data_len_of_next(struct image *source, struct table_memo *memo, uint64_t *voff, uint64_t cluster_len,
                             uint64_t *ret_len, struct error *error)
{
    struct table_stretch stretch;
    struct table_memo_entry *entry = NULL;
    bool is_new = false;
    if (memo != NULL && table_stretch_at(source, *voff, &stretch) && *voff % stretch.len == 0 &&
        stretch.len % cluster_len == 0) {
        entry = table_memo_find(memo, stretch.table, TABLE_NONE, &is_new);
    }
    if (entry == NULL) {
        return data_len_of_extent(source, voff, source->virtual_len, cluster_len, ret_len, error);
    }
    if (is_new) {
        RETURN_IF_FAILED(data_len_of_stretch(source, *voff, stretch.len, cluster_len, &entry->value, error));
    }
    *voff += stretch.len;
    *ret_len = entry->value;
    return true;
}

/* Bytes of the clusters that have data of the source, whole clusters of the new image. */
static bool data_len(struct image *source, uint64_t cluster_len, uint64_t *ret_len, struct error *error)
{
    struct table_memo *memo =
        arena_allocate(source->environment->arena, sizeof(*memo), _Alignof(struct table_memo)); /* or NULL */
    uint64_t len = 0;
    uint64_t voff = 0;
    while (voff < source->virtual_len) { /* ends: extents and stretches are not empty */
        uint64_t part_len;
        RETURN_IF_FAILED(data_len_of_next(source, memo, &voff, cluster_len, &part_len, error));
        len += part_len;
    }
    *ret_len = len;
    return true;
}

/* Bytes that the source's persistent bitmaps would take in the new image; as in qemu-img, also those in use. */
static bool bitmaps_len(struct image *source, uint64_t cluster_len, uint64_t *ret_len, struct error *error)
{
    static struct qcow2_bitmap bitmap; /* large */
    struct qcow2_bitmap_walk walk = {0};
    uint64_t len = 0, directory_len = 0;
    while (qcow2_of(source)->extensions.bitmap_count > 0) { /* ends: after bitmap_count entries at the latest */
        bool is_end;
        RETURN_IF_FAILED(qcow2_bitmap_next(source, &walk, &is_end, &bitmap, error));
        if (is_end) {
            break;
        }
        uint64_t bits = divide_up(source->virtual_len, 1ull << bitmap.granularity_bits);
        uint64_t clusters = divide_up(divide_up(bits, 8), cluster_len);
        len += clusters * cluster_len + round_up(clusters * TABLE_ENTRY_LEN, cluster_len);
        directory_len += round_up(BITMAP_ENTRY_LEN + strnlen((const char *)bitmap.name, bitmap.name_len), 8);
    }
    *ret_len = len + round_up(directory_len, cluster_len);
    return true;
}

static bool check_virtual_len(const struct qcow2_layout *layout, uint64_t virtual_len, struct error *error)
{
    uint64_t l2_entry_len = layout->has_extended_l2 ? 16 : 8;
    uint64_t l2_tables = divide_up(virtual_len / layout->cluster_len, layout->cluster_len / l2_entry_len);
    return l2_tables <= QCOW2_L1_LEN_MAX / TABLE_ENTRY_LEN ||
           error_set(error, ERROR_USAGE, NULL, "The image size is too large (try using a larger cluster size)");
}

bool qcow2_measure(const struct measure_request *request, instar_MeasureMessage *ret_result, struct error *error)
{
    struct qcow2_layout layout = {0};
    struct image *source = request->source;
    bool is_preallocated;
    RETURN_IF_FAILED(parse_options(request, &layout, &is_preallocated, error));
    uint64_t virtual_len, required = 0, full_len, header_len;
    RETURN_IF_FAILED(crypto_len(request, layout.cluster_len, &header_len, error));
    if (!checked_round_up(request->virtual_len, layout.cluster_len, &virtual_len)) {
        return error_set(error, ERROR_USAGE, NULL, "The image size is too large (try using a larger cluster size)");
    }
    if (source == NULL) {
        RETURN_IF_FAILED(check_virtual_len(&layout, virtual_len, error));
    } else if (find(request, "backing_file") != NULL) {
        required = virtual_len; /* nobody knows what they have in common: nothing, at worst */
    } else {
        RETURN_IF_FAILED(data_len(source, layout.cluster_len, &required, error));
    }
    if (is_preallocated) {
        required = virtual_len;
    }
    RETURN_IF_FAILED(qcow2_full_len(&layout, virtual_len, &full_len, error));
    ret_result->fully_allocated = full_len + header_len;
    ret_result->required = full_len - virtual_len + required + header_len;
    if (source != NULL && source->format->map == qcow2_map && qcow2_of(source)->header.version >= 3) {
        ret_result->has_bitmaps = layout.version >= 3;
        RETURN_IF_FAILED(bitmaps_len(source, layout.cluster_len, &ret_result->bitmaps, error));
    }
    return true;
}
