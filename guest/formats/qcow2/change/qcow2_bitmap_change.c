/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bitmap that is added, removed or changed (qcow2.txt, "Bitmaps"). Actions are first followed in mind: what the
 * bitmap will be after them is some of the bits that are there, and one write makes it valid, of the flags or of the
 * header with a new directory. Until then nobody refers to what was written.
 */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/qcow2/change/qcow2_amend.h"
#include "guest/formats/qcow2/layout/qcow2_bits.h"

/* Without a wish, as in QEMU: a cluster, but within these. */
#define GRANULARITY_MIN 4096u
#define GRANULARITY_MAX 65536u
/* Bits of another granularity that are read at once, bytes. */
#define SCRATCH_LEN 65536u

/* A bitmap of an image. */
struct place {
    struct image *image;
    struct image_bitmap bitmap;
    uint64_t pos; /* of its entry, from the directory's start */
    uint64_t end_pos;
    bool is_found;
};

/* What the bitmap is after some of the actions. */
struct outcome {
    bool exists;
    bool is_new;     /* another one than there was */
    bool keeps_bits; /* that there were */
    bool is_enabled;
    bool is_inconsistent;
    uint32_t granularity_bits;
    uint32_t merged_count; /* of the bitmaps whose bits it has */
};

struct bitmap_change {
    const struct bitmap_plan *plan;
    struct image *image;
    struct qcow2_modify *modify;
    struct place old;
    struct outcome outcome;
    struct place merged[BITMAP_ACTIONS_MAX];
    struct image_bitmap bitmap; /* as it will be */
    uint8_t *scratch;           /* SCRATCH_LEN bytes */
};

static bool find(struct image *image, const uint8_t *name, uint32_t name_len, struct place *ret_place,
                 struct error *error)
{
    struct image_bitmap_walk walk = {0};
    bool is_end = image->format->bitmap_next == NULL;
    *ret_place = (struct place){.image = image};
    while (!is_end && !ret_place->is_found) { /* ends: an image has a number of bitmaps */
        ret_place->pos = walk.pos;
        RETURN_IF_FAILED(image->format->bitmap_next(image, &walk, &is_end, &ret_place->bitmap, error));
        ret_place->end_pos = walk.pos;
        ret_place->is_found =
            !is_end && ret_place->bitmap.name_len == name_len && memcmp(ret_place->bitmap.name, name, name_len) == 0;
    }
    return true;
}

static bool refuse_missing(const uint8_t *name, uint32_t name_len, struct error *error)
{
    return error_set(error, ERROR_USAGE, NULL, "Dirty bitmap '%.*s' not found", (int)name_len, (const char *)name);
}

bool qcow2_refuse_inconsistent(const uint8_t *name, uint32_t name_len, struct error *error)
{
    return error_set_reason(error, ERROR_REASON_BITMAP_IN_USE, ERROR_UNSUPPORTED, NULL,
                            "Bitmap '%.*s' is inconsistent and cannot be used", (int)name_len, (const char *)name);
}

static bool check_present(const struct bitmap_change *change, struct error *error)
{
    return change->outcome.exists || refuse_missing(change->plan->name, change->plan->name_len, error);
}

static bool check_usable(const struct bitmap_change *change, struct error *error)
{
    RETURN_IF_FAILED(check_present(change, error));
    return !change->outcome.is_inconsistent ||
           qcow2_refuse_inconsistent(change->plan->name, change->plan->name_len, error);
}

/* Where the old one goes, its room in the directory is there for the new one. */
static void directory_size(const struct bitmap_change *change, bool has_new, uint32_t *ret_count, uint64_t *ret_len)
{
    const struct qcow2_extensions *extensions = &qcow2_of(change->image)->extensions;
    bool had_one = extensions->bitmap_count > 0;
    *ret_count = extensions->bitmap_count - change->old.is_found + has_new;
    *ret_len = (had_one ? extensions->bitmap_directory_len : 0) -
               (change->old.is_found ? change->old.end_pos - change->old.pos : 0) +
               (has_new ? qcow2_bitmap_entry_len((uint16_t)change->plan->name_len) : 0);
}

/* What QEMU looks at before it makes a bitmap persistent, in its order; NULL: nothing is wrong. */
static const char *find_obstacle(const struct bitmap_change *change, uint32_t granularity_bits)
{
    uint64_t entry_count =
        qcow2_bitmap_entry_count(change->image->virtual_len, granularity_bits, change->image->cluster_len);
    uint32_t count;
    uint64_t len;
    if (qcow2_of(change->image)->header.version < 3) {
        return "Cannot store dirty bitmaps in qcow2 v2 files";
    }
    if (entry_count > QCOW2_BITMAP_LEN_MAX / change->image->cluster_len) {
        return "Too much space will be occupied by the bitmap. Use larger granularity";
    }
    if (entry_count == 0) {
        return "The disk is empty";
    }
    if (change->plan->name_len > QCOW2_BITMAP_NAME_LEN_MAX) {
        return "Name length exceeds maximum (1023 characters)";
    }
    directory_size(change, true, &count, &len);
    if (count > QCOW2_BITMAP_COUNT_MAX) {
        return "Maximum number of persistent bitmaps is already reached";
    }
    return len > QCOW2_BITMAP_DIRECTORY_LEN_MAX ? "Not enough space in the bitmap directory" : NULL;
}

static bool follow_add(struct bitmap_change *change, struct error *error)
{
    const struct bitmap_plan *plan = change->plan;
    uint64_t granularity = plan->granularity;
    if (plan->name_len == 0) {
        return error_set(error, ERROR_USAGE, NULL, "Bitmap name cannot be empty");
    }
    if (granularity == 0) {
        granularity = min_u64(max_u64(change->image->cluster_len, GRANULARITY_MIN), GRANULARITY_MAX);
    }
    if (granularity < 1u << QCOW2_BITMAP_GRANULARITY_BITS_MIN ||
        granularity > 1ull << QCOW2_BITMAP_GRANULARITY_BITS_MAX || (granularity & (granularity - 1)) != 0) {
        return error_set(error, ERROR_USAGE, NULL, "Granularity must be power of 2 and at least 512");
    }
    uint32_t granularity_bits = (uint32_t)__builtin_ctzll(granularity);
    if (change->outcome.exists) {
        return error_set(error, ERROR_USAGE, NULL, "Bitmap already exists: %.*s", (int)plan->name_len,
                         (const char *)plan->name);
    }
    const char *obstacle = find_obstacle(change, granularity_bits);
    if (obstacle != NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Can't make bitmap '%.*s' persistent: %s",
                         (int)min_u64(plan->name_len, 128), (const char *)plan->name, obstacle);
    }
    RETURN_IF_FAILED(qcow2_modify_check_directory(change->modify, error));
    change->outcome =
        (struct outcome){.exists = true, .is_new = true, .is_enabled = true, .granularity_bits = granularity_bits};
    return true;
}

/* Checked in QEMU's order, which merges into a bitmap of its own first. */
static bool follow_merge(struct bitmap_change *change, const struct bitmap_action *action, struct error *error)
{
    const struct bitmap_plan *plan = change->plan;
    struct image *image = plan->merge_image != NULL ? plan->merge_image : change->image;
    bool is_itself = image == change->image && action->merged_len == plan->name_len &&
                     memcmp(action->merged, plan->name, plan->name_len) == 0;
    RETURN_IF_FAILED(check_present(change, error));
    if (is_itself) {
        return check_usable(change, error);
    }
    struct place *merged = &change->merged[change->outcome.merged_count];
    RETURN_IF_FAILED(find(image, action->merged, action->merged_len, merged, error));
    if (!merged->is_found) {
        return refuse_missing(action->merged, action->merged_len, error);
    }
    if (merged->bitmap.is_inconsistent) {
        return qcow2_refuse_inconsistent(action->merged, action->merged_len, error);
    }
    if (image->virtual_len != change->image->virtual_len) {
        return error_set(error, ERROR_USAGE, NULL,
                         "Bitmaps are of different sizes (destination size is %llu, source size is %llu) and can't be "
                         "merged",
                         (unsigned long long)change->image->virtual_len, (unsigned long long)image->virtual_len);
    }
    RETURN_IF_FAILED(check_usable(change, error));
    change->outcome.merged_count++;
    return true;
}

static bool follow(struct bitmap_change *change, const struct bitmap_action *action, struct error *error)
{
    struct outcome *outcome = &change->outcome;
    switch (action->kind) {
    case BITMAP_ADD:
        return follow_add(change, error);
    case BITMAP_REMOVE:
        RETURN_IF_FAILED(check_present(change, error));
        *outcome = (struct outcome){0};
        return true;
    case BITMAP_CLEAR:
        RETURN_IF_FAILED(check_usable(change, error));
        outcome->keeps_bits = false;
        outcome->merged_count = 0;
        return true;
    case BITMAP_ENABLE:
    case BITMAP_DISABLE:
        RETURN_IF_FAILED(check_usable(change, error));
        outcome->is_enabled = action->kind == BITMAP_ENABLE;
        return true;
    case BITMAP_MERGE:
    default:
        return follow_merge(change, action, error);
    }
}

/* Adds the bits of a bitmap with another granularity. `bits` has `count` ones from bit `first` on. */
static bool merge_bits(struct bitmap_change *change, const struct place *merged, struct qcow2_bits bits,
                       struct error *error)
{
    uint32_t target_bits = change->outcome.granularity_bits;
    uint32_t source_bits = merged->bitmap.granularity_bits;
    uint64_t source_end = qcow2_bitmap_bit_count(merged->image->virtual_len, source_bits);
    uint64_t start_voff = bits.first << target_bits;
    uint64_t end_voff = min_u64(change->image->virtual_len, (bits.first + bits.count) << target_bits);
    uint64_t first = round_down(start_voff >> source_bits, 8);
    uint64_t end = min_u64(source_end, qcow2_bitmap_bit_count(end_voff, source_bits));
    while (first < end) { /* ends: each round goes on by a byte at least */
        uint64_t count = min_u64(end - first, SCRATCH_LEN * 8ull);
        RETURN_IF_FAILED(merged->image->format->bitmap_read(merged->image, &merged->bitmap, first / 8, change->scratch,
                                                            (uint32_t)((count + 7) / 8), error));
        qcow2_bits_merge(bits, target_bits, (struct qcow2_bits){change->scratch, first, count}, source_bits);
        first += count;
    }
    return true;
}

/* The bits that the bitmap will have. */
static bool read_bits(void *context, uint64_t off, uint8_t *bytes, uint32_t len, struct error *error)
{
    struct bitmap_change *change = context;
    const struct outcome *outcome = &change->outcome;
    struct qcow2_bits bits = {.bytes = bytes, .first = off * 8, .count = len * 8ull};
    memset(bytes, 0, len);
    if (outcome->keeps_bits) {
        RETURN_IF_FAILED(
            change->image->format->bitmap_read(change->image, &change->old.bitmap, off, bytes, len, error));
    }
    for (uint32_t i = 0; i < outcome->merged_count; i++) {
        RETURN_IF_FAILED(merge_bits(change, &change->merged[i], bits, error));
    }
    return true;
}

/* The clusters of a bitmap that nobody refers to any more. What may be somebody else's stays, as in a damaged image. */
bool qcow2_release_bitmap(struct qcow2_modify *modify, const struct image_bitmap *bitmap, struct error *error)
{
    uint64_t table_len = bitmap->table_entry_count * (uint64_t)sizeof(struct be64);
    bool is_own;
    for (uint32_t i = 0; i < bitmap->table_entry_count; i++) {
        uint64_t entry;
        RETURN_IF_FAILED(cache_read_be64(modify->image->environment->cache, modify->target.file,
                                         bitmap->table_off + i * (uint64_t)sizeof(struct be64), &entry, error));
        uint64_t off = entry & QCOW2_BITMAP_ENTRY_OFFSET_MASK;
        if (off == 0 || !qcow2_bitmap_entry_is_valid(&modify->qcow2->header, entry)) {
            continue;
        }
        RETURN_IF_FAILED(qcow2_modify_is_own(modify, off, modify->cluster_len, 0, &is_own, error));
        RETURN_IF_FAILED(!is_own || qcow2_modify_release(modify, off, modify->cluster_len, 0, error));
        if (!qcow2_releases_have_room(&modify->releases, 1)) {
            RETURN_IF_FAILED(qcow2_modify_checkpoint(modify, error));
        }
    }
    RETURN_IF_FAILED(qcow2_modify_checkpoint(modify, error));
    RETURN_IF_FAILED(
        qcow2_modify_is_own(modify, bitmap->table_off, table_len, QCOW2_AREA_BITMAP_TABLE, &is_own, error));
    return !is_own || qcow2_modify_release(modify, bitmap->table_off, table_len, QCOW2_AREA_BITMAP_TABLE, error);
}

/* The directory with the bitmap as it will be: where it was, or behind all others. */
static bool write_directory(struct bitmap_change *change, struct qcow2_bitmap_store *store, uint64_t len,
                            uint64_t table_off, struct error *error)
{
    const struct qcow2_extensions *extensions = &qcow2_of(change->image)->extensions;
    const struct outcome *outcome = &change->outcome;
    uint64_t old_len = extensions->bitmap_count > 0 ? extensions->bitmap_directory_len : 0;
    uint64_t pos = change->old.is_found ? change->old.pos : old_len;
    uint64_t end_pos = change->old.is_found ? change->old.end_pos : old_len;
    bool stays = outcome->exists && !outcome->is_new;
    return qcow2_bitmap_store_directory(store, len, error) &&
           qcow2_bitmap_store_old(store, change->image, 0, pos, error) &&
           (!stays || qcow2_bitmap_store_entry(store, &change->bitmap, table_off, error)) &&
           qcow2_bitmap_store_old(store, change->image, end_pos, old_len, error) &&
           (!outcome->is_new || qcow2_bitmap_store_entry(store, &change->bitmap, table_off, error)) &&
           qcow2_bitmap_store_end(store, error);
}

static bool replace(struct bitmap_change *change, struct error *error)
{
    struct qcow2_modify *modify = change->modify;
    struct arena *arena = change->image->environment->arena;
    struct qcow2_bitmap_store store = qcow2_modify_bitmap_store(modify);
    uint64_t table_off = 0;
    uint32_t count;
    uint64_t len;
    directory_size(change, change->outcome.exists, &count, &len);
    change->scratch = arena_allocate(arena, SCRATCH_LEN, sizeof(uint64_t));
    if (change->scratch == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for bitmaps");
    }
    RETURN_IF_FAILED(qcow2_bitmap_store_begin(&store, arena, error));
    if (change->outcome.exists) {
        RETURN_IF_FAILED(
            qcow2_bitmap_store_bits(&store, change->outcome.granularity_bits, read_bits, change, &table_off, error));
    }
    RETURN_IF_FAILED(count == 0 || write_directory(change, &store, len, table_off, error));
    RETURN_IF_FAILED(qcow2_modify_set_directory(modify, count, store.directory_off, len, error));
    return !change->old.is_found || qcow2_release_bitmap(modify, &change->old.bitmap, error);
}

static bool store_flags(struct bitmap_change *change, struct error *error)
{
    struct qcow2_modify *modify = change->modify;
    const struct qcow2_extensions *extensions = &modify->qcow2->extensions;
    struct be32 flags = be32_make(change->outcome.is_enabled ? QCOW2_BITMAP_AUTO : 0);
    return qcow2_modify_store(modify, extensions->bitmap_directory_off + change->old.pos + QCOW2_BITMAP_FLAGS_POS,
                              &flags, sizeof(flags), QCOW2_AREA_BITMAP_DIRECTORY, error);
}

/* Makes the image what was followed. */
static bool apply(struct bitmap_change *change, struct error *error)
{
    const struct outcome *outcome = &change->outcome;
    const struct bitmap_plan *plan = change->plan;
    bool has_old_bits = outcome->exists && outcome->keeps_bits && outcome->merged_count == 0;
    bool has_old_flags = outcome->is_enabled == change->old.bitmap.is_enabled;
    if ((!outcome->exists && !change->old.is_found) || (has_old_bits && has_old_flags)) {
        return true;
    }
    change->bitmap = (struct image_bitmap){
        .granularity_bits = outcome->granularity_bits,
        .is_enabled = outcome->is_enabled,
        .name_len = (uint16_t)min_u64(plan->name_len, IMAGE_BITMAP_NAME_LEN_MAX),
    };
    memcpy(change->bitmap.name, plan->name, change->bitmap.name_len);
    RETURN_IF_FAILED(qcow2_modify_begin(change->modify, error));
    if (!(has_old_bits ? store_flags(change, error) : replace(change, error)) ||
        !qcow2_modify_finish(&change->modify->target, plan->sync, error)) {
        qcow2_modify_abandon(&change->modify->target);
        return false;
    }
    return true;
}

bool qcow2_change_bitmap(struct image *image, const struct bitmap_plan *plan, uint32_t *ret_done_count,
                         struct error *error)
{
    static struct bitmap_change change; /* large */
    struct error refusal = {0};
    uint32_t done_count = 0;
    change.plan = plan;
    change.image = image;
    *ret_done_count = plan->action_count;
    RETURN_IF_FAILED(qcow2_modify_open(image, &change.modify, error));
    change.modify->keeps_bitmaps = true;
    RETURN_IF_FAILED(find(image, plan->name, plan->name_len, &change.old, error));
    change.outcome = (struct outcome){
        .exists = change.old.is_found,
        .keeps_bits = change.old.is_found,
        .is_enabled = change.old.bitmap.is_enabled,
        .is_inconsistent = change.old.bitmap.is_inconsistent,
        .granularity_bits = change.old.bitmap.granularity_bits,
    };
    while (done_count < plan->action_count && follow(&change, &plan->actions[done_count], &refusal)) {
        done_count++;
    }
    RETURN_IF_FAILED(apply(&change, error));
    *ret_done_count = done_count;
    if (error_is_set(&refusal)) {
        *error = refusal;
        return false;
    }
    return true;
}
