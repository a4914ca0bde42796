/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/change/qcow2_amend.h"
#include "guest/crypto/luks_amend.h"

#include <string.h>

#include "base/checked.h"
#include "guest/formats/qcow2/modify/qcow2_header_change.h"
#include "guest/formats/qcow2/open/qcow2_luks.h"
#include "guest/formats/qcow2/open/qcow2_snapshots.h"
#include "guest/image/option_values.h"

/* The only width that version 2 has: 16 bits. */
#define VERSION_2_REFCOUNT_ORDER 4u

/* What the image is to be. */
struct amended {
    uint32_t version;
    uint32_t refcount_order;
    bool has_lazy_refcounts;
    bool is_data_file_raw;
};

struct amendment {
    struct image *image;
    const struct amend_plan *plan;
    struct qcow2_modify *modify;
    struct amended amended;
    struct qcow2_amend_steps steps;
};

static const instar_FormatOption *option_of(const struct amendment *amendment, const char *name)
{
    return options_find(amendment->plan->options, amendment->plan->option_count, name);
}

static bool take_compat(const instar_FormatOption *option, uint32_t *version, struct error *error)
{
    static const char *const values[] = {"0.10", "v2", "1.1", "v3"};
    for (uint32_t i = 0; i < ARRAY_COUNT(values); i++) {
        if (strcmp(option->value, values[i]) == 0) {
            *version = i < 2 ? 2 : 3;
            return true;
        }
    }
    return error_set(error, ERROR_USAGE, NULL, "Unknown compatibility level %s", option->value);
}

static bool take_refcount_bits(const instar_FormatOption *option, uint32_t *order, struct error *error)
{
    uint64_t bits;
    RETURN_IF_FAILED(option_number(option, &bits, error));
    if (!is_power_of_two(bits) || bits > 64) {
        return error_set(error, ERROR_USAGE, NULL, "Refcount width must be a power of two and may not exceed 64 bits");
    }
    *order = (uint32_t)__builtin_ctzll(bits);
    return true;
}

/* The options in QEMU's order, so that of several mistakes the same one is told. */
static bool take_options(struct amendment *amendment, struct error *error)
{
    const struct qcow2_header *header = &qcow2_of(amendment->image)->header;
    const struct amend_plan *plan = amendment->plan;
    struct amended *amended = &amendment->amended;
    const instar_FormatOption *compat = option_of(amendment, "compat");
    const instar_FormatOption *lazy = option_of(amendment, "lazy_refcounts");
    const instar_FormatOption *bits = option_of(amendment, "refcount_bits");
    const instar_FormatOption *raw = option_of(amendment, "data_file_raw");
    bool is_raw = (header->autoclear_features & QCOW2_AUTOCLEAR_DATA_FILE_RAW) != 0;
    *amended = (struct amended){
        .version = header->version,
        .refcount_order = header->refcount_order,
        .has_lazy_refcounts = (header->compatible_features & QCOW2_COMPATIBLE_LAZY_REFCOUNTS) != 0,
        .is_data_file_raw = is_raw,
    };
    if (plan->changes_encryption && !amendment->image->is_encrypted) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Can't amend encryption options - encryption not present");
    }
    RETURN_IF_FAILED(compat == NULL || take_compat(compat, &amended->version, error));
    if (plan->has_data_name && !qcow2_has_data_file(header)) {
        return error_set(error, ERROR_USAGE, NULL,
                         "data-file can only be set for images that use an external data file");
    }
    RETURN_IF_FAILED(raw == NULL || option_flag(raw, &amended->is_data_file_raw, error));
    if (amended->is_data_file_raw && !is_raw) {
        return error_set(error, ERROR_USAGE, NULL, "data-file-raw cannot be set on existing images");
    }
    RETURN_IF_FAILED(lazy == NULL || option_flag(lazy, &amended->has_lazy_refcounts, error));
    return bits == NULL || take_refcount_bits(bits, &amended->refcount_order, error);
}

/* Version 2 has no lengths of disks in its snapshots, and fewer bits for the state of a virtual machine. */
static bool check_snapshots(struct image *image, uint64_t virtual_len, struct error *error)
{
    static struct qcow2_snapshot snapshot; /* large */
    const struct qcow2_header *header = &qcow2_of(image)->header;
    struct qcow2_snapshot_walk walk = qcow2_snapshot_walk_begin(image);
    while (walk.index < header->snapshot_count) { /* ends: at QCOW2_SNAPSHOT_COUNT_MAX */
        RETURN_IF_FAILED(qcow2_snapshot_next(image, &walk, &snapshot, error));
        if (snapshot.vm_state_len > UINT32_MAX || (snapshot.has_disk_len && snapshot.disk_len != virtual_len)) {
            return error_set(error, ERROR_UNSUPPORTED, NULL, "Internal snapshots prevent downgrade of image");
        }
    }
    return true;
}

static bool check_downgrade(struct amendment *amendment, struct error *error)
{
    const struct qcow2_header *header = &qcow2_of(amendment->image)->header;
    uint64_t features = header->incompatible_features & ~QCOW2_INCOMPATIBLE_COMPRESSION;
    bool has_compressed = false;
    if (qcow2_has_data_file(header)) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Cannot downgrade an image with a data file");
    }
    if (amendment->amended.refcount_order != VERSION_2_REFCOUNT_ORDER) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "compat=0.10 requires refcount_bits=16");
    }
    uint64_t virtual_len = amendment->plan->virtual_len;
    RETURN_IF_FAILED(
        check_snapshots(amendment->image, virtual_len != 0 ? virtual_len : amendment->image->virtual_len, error));
    if (features != 0) {
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "Cannot downgrade an image with incompatible features 0x%llx set",
                         (unsigned long long)features);
    }
    if (header->compression_type != QCOW2_COMPRESSION_DEFLATE) {
        RETURN_IF_FAILED(qcow2_find_compressed(amendment->modify, &has_compressed, error));
    }
    return !has_compressed || error_set(error, ERROR_UNSUPPORTED, NULL,
                                        "Cannot downgrade an image with zstd compression type and existing compressed "
                                        "clusters");
}

/* A name is not amended: it may be given if it is the one that is there. */
static bool check_backing(const struct amendment *amendment, struct error *error)
{
    const struct image *image = amendment->image;
    const struct file_name *name = &amendment->plan->backing_name;
    const instar_FormatOption *format = option_of(amendment, "backing_fmt");
    if (!amendment->plan->has_backing_name && format == NULL) {
        return true;
    }
    bool is_same = amendment->plan->has_backing_name == image->backing_name.is_set &&
                   (!image->backing_name.is_set || (name->len == image->backing_name.len &&
                                                    memcmp(name->bytes, image->backing_name.bytes, name->len) == 0));
    is_same = is_same && strcmp(format != NULL ? format->value : "", image->backing_format) == 0;
    return is_same ||
           error_set_reason(error, ERROR_REASON_BACKING_AMENDED, ERROR_USAGE, NULL, "Cannot amend the backing file");
}

/* What can be known to be impossible, before anything is changed. */
static bool check_all(struct amendment *amendment, struct error *error)
{
    const struct qcow2_header *header = &qcow2_of(amendment->image)->header;
    const struct amended *amended = &amendment->amended;
    if (amended->refcount_order != header->refcount_order) {
        if (amended->version < 3 && amended->refcount_order != VERSION_2_REFCOUNT_ORDER) {
            return error_set(error, ERROR_USAGE, NULL,
                             "Refcount widths other than 16 bits require compatibility level 1.1 or above (use "
                             "compat=1.1 or greater)");
        }
        RETURN_IF_FAILED(qcow2_check_refcount_width(amendment->modify, amended->refcount_order, error));
    }
    RETURN_IF_FAILED(check_backing(amendment, error));
    bool is_lazy = (header->compatible_features & QCOW2_COMPATIBLE_LAZY_REFCOUNTS) != 0;
    if (amended->has_lazy_refcounts && !is_lazy && amended->version < 3) {
        return error_set(error, ERROR_USAGE, NULL,
                         "Lazy refcounts only supported with compatibility level 1.1 and above (use compat=1.1 or "
                         "greater)");
    }
    return amended->version >= header->version || check_downgrade(amendment, error);
}

/* The door to the header, and the places of errors that have none. */
static bool write_header(struct amendment *amendment, struct qcow2_header_change *change, struct error *error)
{
    if (!qcow2_header_change_write(change, error)) {
        error_add_place(error, amendment->image->file->name);
        return false;
    }
    return true;
}

static void set_feature(uint64_t *features, uint64_t feature, bool is_set)
{
    *features = (*features & ~feature) | (is_set ? feature : 0);
}

/* The version if it gets higher, features, and the data file's name: one write. */
static bool change_header(struct amendment *amendment, struct error *error)
{
    static struct qcow2_header_change change; /* large */
    const struct amend_plan *plan = amendment->plan;
    const struct amended *amended = &amendment->amended;
    const struct qcow2_header *old = &amendment->modify->qcow2->header;
    struct qcow2_extensions *extensions = &amendment->modify->qcow2->extensions;
    bool is_upgrade = amended->version > old->version;
    RETURN_IF_FAILED(qcow2_header_change_begin(amendment->modify, &change, error));
    struct qcow2_header *header = &change.header;
    header->version = max_u64(header->version, amended->version) == 2 ? 2 : 3;
    if (header->version >= 3) {
        set_feature(&header->compatible_features, QCOW2_COMPATIBLE_LAZY_REFCOUNTS, amended->has_lazy_refcounts);
        set_feature(&header->autoclear_features, QCOW2_AUTOCLEAR_DATA_FILE_RAW, amended->is_data_file_raw);
    }
    bool changes_name = plan->has_data_name &&
                        (plan->data_name.len != extensions->data_file_name.len ||
                         memcmp(plan->data_name.bytes, extensions->data_file_name.bytes, plan->data_name.len) != 0);
    if (changes_name) {
        RETURN_IF_FAILED(qcow2_header_change_extension(&change, QCOW2_EXTENSION_DATA_FILE,
                                                       plan->data_name.len > 0 ? plan->data_name.bytes : NULL,
                                                       plan->data_name.len, error));
    }
    if (is_upgrade && extensions->has_stale_bitmaps) {
        RETURN_IF_FAILED(qcow2_header_change_extension(&change, QCOW2_EXTENSION_BITMAPS, NULL, 0, error));
    }
    bool is_other = header->version != old->version || header->compatible_features != old->compatible_features ||
                    header->autoclear_features != old->autoclear_features || changes_name;
    return !is_other || write_header(amendment, &change, error);
}

/* Bitmaps that the header leads to no more. */
static bool release_bitmaps(struct qcow2_modify *modify, struct error *error)
{
    static struct image_bitmap bitmap; /* large */
    struct qcow2_extensions *extensions = &modify->qcow2->extensions;
    struct image_bitmap_walk walk = {0};
    bool is_end = extensions->bitmap_count == 0;
    if (is_end) {
        return true;
    }
    while (!is_end) { /* ends: the directory has bitmap_count entries */
        RETURN_IF_FAILED(modify->image->format->bitmap_next(modify->image, &walk, &is_end, &bitmap, error));
        RETURN_IF_FAILED(is_end || qcow2_release_bitmap(modify, &bitmap, error));
        RETURN_IF_FAILED(qcow2_modify_checkpoint(modify, error));
    }
    RETURN_IF_FAILED(qcow2_modify_release(modify, extensions->bitmap_directory_off, extensions->bitmap_directory_len,
                                          QCOW2_AREA_BITMAP_DIRECTORY, error));
    extensions->bitmap_count = 0;
    return true;
}

static bool downgrade(struct amendment *amendment, struct error *error)
{
    static struct qcow2_header_change change; /* large */
    struct qcow2_modify *modify = amendment->modify;
    RETURN_IF_FAILED(check_downgrade(amendment, error));
    RETURN_IF_FAILED(qcow2_expand_zeros(modify, &amendment->steps, error));
    RETURN_IF_FAILED(qcow2_header_change_begin(modify, &change, error));
    change.header.version = 2;
    change.header.incompatible_features = 0;
    change.header.compatible_features = 0;
    change.header.autoclear_features = 0;
    change.header.compression_type = QCOW2_COMPRESSION_DEFLATE;
    RETURN_IF_FAILED(qcow2_header_change_extension(&change, QCOW2_EXTENSION_BITMAPS, NULL, 0, error));
    RETURN_IF_FAILED(qcow2_header_change_extension(&change, QCOW2_EXTENSION_FEATURE_NAMES, NULL, 0, error));
    return write_header(amendment, &change, error) && release_bitmaps(modify, error);
}

/* Begins to change the image, or goes on with it after it has got another length. */
static bool open(struct amendment *amendment, struct error *error)
{
    RETURN_IF_FAILED(qcow2_modify_open(amendment->image, &amendment->modify, error));
    amendment->modify->keeps_bitmaps = true;
    return true;
}

static bool finish(struct amendment *amendment, struct error *error)
{
    struct target *target = &amendment->modify->target;
    return qcow2_modify_finish(target, amendment->plan->sync, error);
}

/* One write of the header after the other, each of which leaves a sound image. */
static bool change_all(struct amendment *amendment, struct error *error)
{
    struct qcow2_modify *modify = amendment->modify;
    uint32_t order = amendment->amended.refcount_order;
    RETURN_IF_FAILED(qcow2_modify_begin(modify, error) && change_header(amendment, error));
    if (order != modify->qcow2->header.refcount_order) {
        RETURN_IF_FAILED(qcow2_change_refcount_width(modify, order, &amendment->steps, error));
        amendment->steps.done_count++;
    }
    return finish(amendment, error);
}

/* What a step has taken is given back where it has failed. */
static bool or_abandon(struct amendment *amendment, bool success)
{
    if (!success) {
        qcow2_modify_abandon(&amendment->modify->target);
    }
    return success;
}

/* Key slots: they lie where the header's extension says, and nothing else of the image changes. */
static bool change_encryption(const struct amendment *amendment, struct error *error)
{
    struct image *image = amendment->image;
    const struct qcow2 *qcow2 = qcow2_of(image);
    const struct luks_place place = {
        .file = image->file, .off = qcow2->extensions.crypto_header_off, .len = qcow2->extensions.crypto_header_len};
    struct luks_header header;
    if (qcow2->header.crypt_method != QCOW2_CRYPT_LUKS) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Only LUKS encryption options can be amended");
    }
    RETURN_IF_FAILED(qcow2_luks_read(image, &header, error));
    return luks_amend(image, &header, &place, amendment->plan, "encrypt.", error);
}

bool qcow2_amend(struct image *image, const struct amend_plan *plan, struct error *error)
{
    struct amendment amendment = {.image = image, .plan = plan};
    const struct amended *amended = &amendment.amended;
    const struct qcow2_header *header = &qcow2_of(image)->header;
    RETURN_IF_FAILED(open(&amendment, error));
    RETURN_IF_FAILED(take_options(&amendment, error) && check_all(&amendment, error));
    RETURN_IF_FAILED(qcow2_resize_check_l1(amendment.modify, plan->virtual_len, error));
    amendment.steps = (struct qcow2_amend_steps){
        .plan = plan,
        .count = (amended->refcount_order != header->refcount_order ? 1u : 0u) +
                 (amended->version < header->version ? 1u : 0u),
    };
    bool completes_snapshots = amended->version > header->version && header->snapshot_count > 0;
    bool is_shorter = plan->virtual_len != 0 && plan->virtual_len < image->virtual_len;
    if (amendment.steps.count > 0 || completes_snapshots || is_shorter) { /* clusters are taken, or given back */
        RETURN_IF_FAILED(image_require_sound(image, error));
    }
    if (completes_snapshots) { /* version 3 wants more of their entries */
        RETURN_IF_FAILED(qcow2_complete_snapshots(image, error) && open(&amendment, error));
    }
    RETURN_IF_FAILED(or_abandon(&amendment, change_all(&amendment, error)));
    RETURN_IF_FAILED(!plan->changes_encryption || change_encryption(&amendment, error));
    if (plan->virtual_len != 0) {
        const struct resize_plan resize = {.virtual_len = plan->virtual_len, .sync = plan->sync};
        RETURN_IF_FAILED(qcow2_resize(image, &resize, error) && open(&amendment, error));
    }
    return amended->version >= header->version ||
           or_abandon(&amendment, downgrade(&amendment, error) && finish(&amendment, error));
}
