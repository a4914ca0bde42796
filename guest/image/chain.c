/* SPDX-License-Identifier: Apache-2.0 */
/* An image and what is behind it: opening, and finding out what is where. */
#include "base/checked.h"
#include "guest/image/image.h"
#include "guest/image/image_file.h"

uint32_t image_chain_len(const struct image *image)
{
    uint32_t len = 0;
    for (; image != NULL; image = image->backing) { /* ends: image_open_chain makes chains, of IMAGE_CHAIN_MAX images */
        len++;
    }
    return len;
}

/* Whether an image of the chain is on this file's device already. */
static bool chain_has_file(const struct image *image, const struct file *file)
{
    for (; image != NULL; image = image->backing) { /* ends: as above */
        if (image->file == file || image->file->device == file->device) {
            return true;
        }
    }
    return false;
}

static bool open_backing(const struct image *first, struct image *last, enum image_purpose purpose, struct error *error)
{
    struct image_environment *environment = last->environment;
    struct span name = {last->backing_name.bytes, last->backing_name.len};
    struct file *file;
    if (!environment->open_file(environment, name, last->file, IMAGE_FILE_BACKING, &file, error)) {
        error_add_place(error, last->file->name);
        return false;
    }
    if (chain_has_file(first, file)) {
        return error_set(error, ERROR_MALFORMED, last->file->name,
                         "the backing file is in the chain of images already: the chain has no end");
    }
    struct image_setup setup = {
        .environment = environment,
        .file = file,
        .format = last->backing_format,
        .name = name,
        .purpose = purpose,
    };
    RETURN_IF_FAILED(image_open(&setup, &last->backing, error));
    last->backing_is_foreign = last->format->accepts_backing != NULL && !last->format->accepts_backing(last);
    return true;
}

bool image_look_behind(struct image *image, struct error *error)
{
    return !image->backing_name.is_set || open_backing(image, image, IMAGE_TO_DESCRIBE, error);
}

bool image_set_backing(struct image *image, struct image *backing, struct error *error)
{
    if (!image->format->takes_backing) {
        return error_set(error, ERROR_USAGE, image->file->name, "Driver doesn't support backing files");
    }
    image->backing = backing;
    image->backing_is_foreign = image->format->accepts_backing != NULL && !image->format->accepts_backing(image);
    return true;
}

bool image_open_chain(struct image *image, struct error *error)
{
    enum image_purpose purpose = image->purpose == IMAGE_TO_CHANGE ? IMAGE_TO_READ : image->purpose;
    uint32_t count = 1;
    for (struct image *last = image; last->backing_name.is_set; last = last->backing) {
        if (count == IMAGE_CHAIN_MAX) {
            return error_set(error, ERROR_UNSUPPORTED, last->file->name,
                             "the chain of backing files has more than %u images, or no end", IMAGE_CHAIN_MAX);
        }
        RETURN_IF_FAILED(open_backing(image, last, purpose, error));
        count++;
    }
    return true;
}

/*
 * Finds out whether the extent's storage is a hole of the file. As in QEMU, what is behind the end of the file is one,
 * and a hole that reaches that end covers all of the extent.
 */
static bool look_for_hole(struct chain_extent *chain, struct error *error)
{
    struct extent *extent = &chain->extent;
    struct file *file = extent->file;
    if (extent->file_off >= file->len) {
        chain->is_hole = true;
        return true;
    }
    enum file_extent_kind kind;
    uint64_t len;
    RETURN_IF_FAILED(file_extent(file, extent->file_off, &kind, &len, error));
    chain->is_hole = kind == FILE_HOLE;
    if (kind == FILE_DATA || len < file->len - extent->file_off) {
        extent->len = min_u64(extent->len, len);
    }
    return true;
}

bool image_report_missing(const struct chain_extent *extent, struct error *error)
{
    const struct extent *found = &extent->extent;
    bool has_place = found->kind == EXTENT_DATA || found->kind == EXTENT_COMPRESSED || found->kind == EXTENT_ENCRYPTED;
    if (has_place && found->file_off >= found->file->len) {
        return error_set(error, ERROR_MALFORMED, found->file->name,
                         "the cluster for offset %llu of the disk begins at %llu, behind the end of the file, which "
                         "was cut short",
                         (unsigned long long)found->voff, (unsigned long long)found->file_off);
    }
    return error_set(error, ERROR_MALFORMED, extent->missing->file->name,
                     "the table for offset %llu of the disk begins behind the end of the file, which was cut short",
                     (unsigned long long)found->voff);
}

/* The extent of one image, by the rules of struct extent; `tells`: as image_status wants it. */
static bool map_one(struct image *image, uint64_t voff, uint64_t len, bool tells, struct extent *ret_extent,
                    struct error *error)
{
    if (tells && image->format->is_opaque) {
        *ret_extent = (struct extent){.voff = voff, .len = len, .kind = EXTENT_DATA};
        return true;
    }
    if (!image->format->map(image, voff, len, ret_extent, error)) {
        error_add_place(error, image->file->name);
        return false;
    }
    if (ret_extent->voff != voff || ret_extent->len == 0 || ret_extent->len > len) {
        return error_set(error, ERROR_MALFORMED, image->file->name, "the extent at offset 0x%llx is not one",
                         (unsigned long long)voff);
    }
    return true;
}

/* Whether the extent's bytes are in a file that is the disk of another image. */
static bool chain_extent_is_within(const struct chain_extent *chain)
{
    enum extent_kind kind = chain->extent.kind;
    bool has_bytes = kind == EXTENT_DATA || kind == EXTENT_COMPRESSED || kind == EXTENT_ENCRYPTED;
    return has_bytes && chain->extent.file->source != NULL;
}

static bool chain_map(struct image *image, uint64_t voff, uint64_t len, bool tells, struct chain_extent *ret_extent,
                      struct error *error)
{
    struct chain_extent chain = {.is_present = true};
    struct extent *extent = &chain.extent;
    const struct image *first = image;
    const struct image *foreign = NULL; /* the first one whose backing file is not its own */
    len = min_u64(len, image->virtual_len - voff);
    for (;;) { /* ends: every round goes one image down */
        RETURN_IF_FAILED(map_one(image, voff, len, tells, extent, error));
        if (extent->is_missing && chain.missing == NULL) {
            chain.missing = image;
        }
        if (extent->kind != EXTENT_UNALLOCATED) {
            break;
        }
        struct image *backing = image->backing;
        len = extent->len;
        if (backing == NULL && image->backing_name.is_set) {
            return error_set(error, ERROR_GUEST, image->file->name, "the backing file is not open");
        }
        foreign = foreign == NULL && image->backing_is_foreign ? image : foreign;
        /* Where a part begins, offsets change. No overflow: a part lies within its disk (file_window_check). */
        uint64_t behind_voff = backing != NULL ? voff + (backing->part_off - image->part_off) : 0;
        if (backing == NULL || behind_voff >= backing->virtual_len) {
            extent->kind = EXTENT_ZERO; /* with its storage, if some is reserved there */
            chain.is_present = false;
            break;
        }
        voff = behind_voff;
        len = min_u64(len, backing->virtual_len - voff);
        chain.depth += image->is_part ? 0 : 1;
        image = backing;
    }
    if (foreign != NULL && !tells && (extent->kind != EXTENT_ZERO || !foreign->format->takes_foreign_zeros)) {
        return error_set(error, ERROR_MALFORMED, foreign->file->name,
                         "the image behind it is not the one that it was made for: data at offset %llu cannot be told",
                         (unsigned long long)voff);
    }
    chain.image = image;
    extent->shift_len = first->part_off - image->part_off;
    extent->voff += extent->shift_len;
    extent->cluster_voff += extent->shift_len;
    if (!tells && chain_extent_is_within(&chain)) {
        RETURN_IF_FAILED(image_file_look_below(&chain, error));
    } else if (extent->may_have_holes && extent->kind == EXTENT_DATA) {
        RETURN_IF_FAILED(look_for_hole(&chain, error));
    }
    *ret_extent = chain;
    return true;
}

bool image_map(struct image *image, uint64_t voff, uint64_t len, struct chain_extent *ret_extent, struct error *error)
{
    return chain_map(image, voff, len, false, ret_extent, error);
}

bool image_status(struct image *image, uint64_t voff, uint64_t len, struct chain_extent *ret_extent,
                  struct error *error)
{
    return chain_map(image, voff, len, true, ret_extent, error);
}
