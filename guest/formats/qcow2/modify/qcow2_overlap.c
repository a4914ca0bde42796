/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/modify/qcow2_overlap.h"

#include "base/checked.h"
#include "base/endian.h"
#include "guest/formats/qcow2/open/qcow2_bitmaps.h"
#include "guest/formats/qcow2/open/qcow2_snapshots.h"

/* Bits of the filter: with 16 for each table, 1 cluster in 200 is looked up in vain. */
#define BITS_MIN (1ull << 20)
#define BITS_MAX (1ull << 23)
#define BITS_PER_ENTRY 16u
#define PROBES 3u
/* Entries of snapshots' L1 tables that are looked at, of all of them: 32 MiB. Those behind them are not known. */
#define SNAPSHOT_ENTRIES_MAX (1ull << 22)

#define FILTERED_FIRST QCOW2_AREA_L2
#define FILTERED_LAST QCOW2_AREA_BITMAP_TABLE

/* Is told of each piece of metadata. False: it has seen enough. */
struct visitor {
    bool (*visit)(struct visitor *visitor, enum qcow2_area area, uint64_t off, uint64_t len);
    struct qcow2_overlap *overlap;
    uint64_t first_off; /* what is looked for */
    uint64_t end_off;
    uint32_t found; /* QCOW2_AREA_* */
    uint64_t highest_end;
};

static const struct qcow2 *qcow2_in(const struct qcow2_overlap *overlap)
{
    return qcow2_of(overlap->image);
}

static const char *area_name(uint32_t area)
{
    switch (area) {
    case QCOW2_AREA_HEADER:
        return "qcow2_header";
    case QCOW2_AREA_L1:
        return "active L1 table";
    case QCOW2_AREA_REFCOUNT_TABLE:
        return "refcount table";
    case QCOW2_AREA_SNAPSHOT_TABLE:
        return "snapshot table";
    case QCOW2_AREA_BITMAP_DIRECTORY:
        return "bitmap directory";
    case QCOW2_AREA_L2:
        return "active L2 table";
    case QCOW2_AREA_REFCOUNT_BLOCK:
        return "refcount block";
    case QCOW2_AREA_SNAPSHOT:
        return "inactive L1 or L2 table";
    default:
        return "bitmap table";
    }
}

/* A cluster of this kind of metadata as a number that tells nothing of it (the finalizer of MurmurHash3). */
static uint64_t mix(uint64_t cluster, enum qcow2_area area)
{
    uint64_t hash = cluster * 512 + (uint64_t)area;
    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdull;
    hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53ull;
    return hash ^ hash >> 33;
}

static uint64_t probe(const struct qcow2_overlap *overlap, uint64_t hash, uint32_t number)
{
    return (hash + number * (hash >> 32 | 1)) & (overlap->bit_count - 1);
}

static bool filter_has(const struct qcow2_overlap *overlap, enum qcow2_area area, uint64_t cluster)
{
    uint64_t hash = mix(cluster, area);
    for (uint32_t i = 0; i < PROBES; i++) {
        uint64_t bit = probe(overlap, hash, i);
        if ((overlap->words[bit / 64] >> bit % 64 & 1) == 0) {
            return false;
        }
    }
    return true;
}

void qcow2_overlap_add(struct qcow2_overlap *overlap, enum qcow2_area area, uint64_t off, uint64_t len)
{
    uint32_t bits = qcow2_in(overlap)->header.cluster_bits;
    for (uint64_t cluster = off >> bits; cluster <= (off + len - 1) >> bits; cluster++) { /* ends: tables are bounded */
        uint64_t hash = mix(cluster, area);
        for (uint32_t i = 0; i < PROBES; i++) {
            uint64_t bit = probe(overlap, hash, i);
            overlap->words[bit / 64] |= 1ull << bit % 64;
        }
    }
}

/* What a table of 8-byte entries leads to: a cluster each. */
static bool visit_table(struct visitor *visitor, enum qcow2_area area, uint64_t table_off, uint64_t entry_count,
                        uint64_t mask, bool *ret_goes_on, struct error *error)
{
    struct image *image = visitor->overlap->image;
    uint32_t cluster_len = qcow2_of(image)->header.cluster_len;
    *ret_goes_on = true;
    for (uint64_t i = 0; i < entry_count;) { /* ends: a view has an entry at least */
        struct span view;
        struct be64 word;
        RETURN_IF_FAILED(
            cache_view(image->environment->cache, image->file, table_off + i * 8, (entry_count - i) * 8, &view, error));
        for (size_t at = 0; span_copy(view, at, &word, sizeof(word)); at += sizeof(word)) {
            uint64_t off = round_down(be64_get(word) & mask, cluster_len);
            if (off != 0 && !visitor->visit(visitor, area, off, cluster_len)) {
                *ret_goes_on = false;
                return true;
            }
        }
        i += view.len / sizeof(word);
    }
    return true;
}

/* One that cannot be a table has nothing that could get worse. */
static bool visit_snapshots(struct visitor *visitor, bool *ret_goes_on, struct error *error)
{
    static struct qcow2_snapshot snapshot; /* large */
    struct image *image = visitor->overlap->image;
    struct qcow2_snapshot_walk walk = qcow2_snapshot_walk_begin(image);
    uint64_t entries_left = SNAPSHOT_ENTRIES_MAX;
    *ret_goes_on = true;
    while (*ret_goes_on && walk.index < qcow2_of(image)->header.snapshot_count) { /* ends: QCOW2_SNAPSHOT_COUNT_MAX */
        struct error none = {0};
        RETURN_IF_FAILED(qcow2_snapshot_next(image, &walk, &snapshot, error));
        const struct qcow2_l1 *l1 = &snapshot.l1;
        if (l1->entry_count == 0 || !qcow2_snapshot_check_l1(image, &snapshot, &none)) {
            continue;
        }
        uint64_t entry_count = min_u64(l1->entry_count, entries_left);
        entries_left -= entry_count;
        *ret_goes_on = visitor->visit(visitor, QCOW2_AREA_SNAPSHOT, l1->off, l1->entry_count * 8ull);
        RETURN_IF_FAILED(!*ret_goes_on || visit_table(visitor, QCOW2_AREA_SNAPSHOT, l1->off, entry_count,
                                                      QCOW2_L1_OFFSET_MASK, ret_goes_on, error));
    }
    if (*ret_goes_on && walk.index > 0) {
        visitor->overlap->snapshots_len = walk.off - qcow2_of(image)->header.snapshots_off;
    }
    return true;
}

static bool visit_bitmaps(struct visitor *visitor, struct error *error)
{
    static struct qcow2_bitmap bitmap; /* large */
    struct image *image = visitor->overlap->image;
    struct qcow2_bitmap_walk walk = {0};
    bool is_end = qcow2_of(image)->extensions.bitmap_count == 0;
    while (!is_end) { /* ends: the directory has bitmap_count entries */
        RETURN_IF_FAILED(qcow2_bitmap_next(image, &walk, &is_end, &bitmap, error));
        if (!is_end &&
            !visitor->visit(visitor, QCOW2_AREA_BITMAP_TABLE, bitmap.table_off, bitmap.table_entry_count * 8ull)) {
            return true;
        }
    }
    return true;
}

/* All metadata of one of the kinds that the filter knows. */
static bool visit_area(struct visitor *visitor, enum qcow2_area area, struct error *error)
{
    const struct qcow2_header *header = &qcow2_in(visitor->overlap)->header;
    bool goes_on;
    switch ((uint32_t)area) {
    case QCOW2_AREA_L2:
        return visit_table(visitor, area, header->l1_off, header->l1_entry_count, QCOW2_L1_OFFSET_MASK, &goes_on,
                           error);
    case QCOW2_AREA_REFCOUNT_BLOCK:
        return visit_table(visitor, area, header->refcount_table_off, qcow2_refcount_table_len(header) / 8,
                           QCOW2_REFCOUNT_OFFSET_MASK, &goes_on, error);
    case QCOW2_AREA_SNAPSHOT:
        return visit_snapshots(visitor, &goes_on, error);
    case QCOW2_AREA_BITMAP_TABLE:
    default:
        return visit_bitmaps(visitor, error);
    }
}

static bool visit_all(struct visitor *visitor, struct error *error)
{
    for (uint32_t area = FILTERED_FIRST; area <= FILTERED_LAST; area *= 2) {
        RETURN_IF_FAILED(visit_area(visitor, (enum qcow2_area)area, error));
    }
    return true;
}

static bool add_visited(struct visitor *visitor, enum qcow2_area area, uint64_t off, uint64_t len)
{
    qcow2_overlap_add(visitor->overlap, area, off, len);
    return true;
}

bool qcow2_overlap_init(struct qcow2_overlap *overlap, struct image *image, struct error *error)
{
    const struct qcow2_header *header = &qcow2_of(image)->header;
    uint64_t entry_count = header->l1_entry_count + qcow2_refcount_table_len(header) / 8;
    struct visitor visitor = {.visit = add_visited, .overlap = overlap};
    uint64_t bit_count = BITS_MIN;
    while (bit_count < BITS_MAX && bit_count < entry_count * BITS_PER_ENTRY) {
        bit_count *= 2;
    }
    *overlap = (struct qcow2_overlap){
        .image = image,
        .words = arena_allocate(image->environment->arena, bit_count / 8, _Alignof(uint64_t)),
        .bit_count = bit_count,
    };
    if (overlap->words == NULL) {
        return error_set(error, ERROR_LIMIT, image->file->name, "no memory is left to write to the image");
    }
    return visit_all(&visitor, error);
}

/* The header, and what it names: the kinds in [off, end_off). */
static uint32_t find_fixed(const struct qcow2_overlap *overlap, uint64_t off, uint64_t end_off, uint32_t own)
{
    const struct qcow2_header *header = &qcow2_in(overlap)->header;
    const struct qcow2_extensions *extensions = &qcow2_in(overlap)->extensions;
    const struct {
        enum qcow2_area area;
        uint64_t off;
        uint64_t len;
    } tables[] = {
        {QCOW2_AREA_HEADER, 0, header->cluster_len},
        {QCOW2_AREA_L1, header->l1_off, qcow2_l1_len(header)},
        {QCOW2_AREA_REFCOUNT_TABLE, header->refcount_table_off, qcow2_refcount_table_len(header)},
        {QCOW2_AREA_SNAPSHOT_TABLE, header->snapshots_off, overlap->snapshots_len},
        {QCOW2_AREA_BITMAP_DIRECTORY, extensions->bitmap_directory_off,
         extensions->bitmap_count > 0 ? extensions->bitmap_directory_len : 0},
    };
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        if (tables[i].len > 0 && (own & tables[i].area) == 0 && off < tables[i].off + tables[i].len &&
            tables[i].off < end_off) {
            return tables[i].area;
        }
    }
    return 0;
}

static bool compare_visited(struct visitor *visitor, enum qcow2_area area, uint64_t off, uint64_t len)
{
    if (off < visitor->end_off && visitor->first_off < off + len) {
        visitor->found = area;
    }
    return visitor->found == 0;
}

static bool may_have(const struct qcow2_overlap *overlap, enum qcow2_area area, uint64_t off, uint64_t end_off)
{
    uint32_t bits = qcow2_in(overlap)->header.cluster_bits;
    for (uint64_t cluster = off >> bits; cluster < end_off >> bits; cluster++) { /* ends: a request, or table, does */
        if (filter_has(overlap, area, cluster)) {
            return true;
        }
    }
    return false;
}

bool qcow2_overlap_find(struct qcow2_overlap *overlap, uint64_t off, uint64_t len, uint32_t own, uint32_t *ret_area,
                        struct error *error)
{
    uint32_t cluster_len = qcow2_in(overlap)->header.cluster_len;
    struct visitor visitor = {
        .visit = compare_visited,
        .overlap = overlap,
        .first_off = round_down(off, cluster_len),
        .end_off = round_up(off + len, cluster_len),
    };
    visitor.found = find_fixed(overlap, visitor.first_off, visitor.end_off, own);
    for (uint32_t area = FILTERED_FIRST; area <= FILTERED_LAST && visitor.found == 0; area *= 2) {
        if ((own & area) == 0 && may_have(overlap, (enum qcow2_area)area, visitor.first_off, visitor.end_off)) {
            RETURN_IF_FAILED(visit_area(&visitor, (enum qcow2_area)area, error));
        }
    }
    *ret_area = visitor.found;
    return true;
}

bool qcow2_overlap_check(struct qcow2_overlap *overlap, uint64_t off, uint64_t len, uint32_t own, struct error *error)
{
    uint32_t area;
    RETURN_IF_FAILED(qcow2_overlap_find(overlap, off, len, own, &area, error));
    return area == 0 || error_set(error, ERROR_MALFORMED, overlap->image->file->name,
                                  "Preventing invalid write on metadata (overlaps with %s) at offset %#llx",
                                  area_name(area), (unsigned long long)off);
}

static bool end_visited(struct visitor *visitor, enum qcow2_area area, uint64_t off, uint64_t len)
{
    (void)area;
    if (off < visitor->overlap->image->file->len) {
        visitor->highest_end = max_u64(visitor->highest_end, off + len);
    }
    return true;
}

bool qcow2_overlap_end(struct qcow2_overlap *overlap, uint64_t *ret_off, struct error *error)
{
    const struct qcow2 *qcow2 = qcow2_in(overlap);
    const struct qcow2_header *header = &qcow2->header;
    struct visitor visitor = {.visit = end_visited, .overlap = overlap, .highest_end = header->cluster_len};
    RETURN_IF_FAILED(visit_all(&visitor, error));
    (void)end_visited(&visitor, QCOW2_AREA_L1, header->l1_off, qcow2_l1_len(header));
    (void)end_visited(&visitor, QCOW2_AREA_REFCOUNT_TABLE, header->refcount_table_off,
                      qcow2_refcount_table_len(header));
    (void)end_visited(&visitor, QCOW2_AREA_SNAPSHOT_TABLE, header->snapshots_off, overlap->snapshots_len);
    if (qcow2->extensions.bitmap_count > 0) {
        (void)end_visited(&visitor, QCOW2_AREA_BITMAP_DIRECTORY, qcow2->extensions.bitmap_directory_off,
                          qcow2->extensions.bitmap_directory_len);
    }
    *ret_off = visitor.highest_end;
    return true;
}
