/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file is the disk, rounded up to whole sectors as QEMU does it: what is behind the file's end reads as zeros.
 * Holes of the file are zeros, with a place in the file.
 */
#include "guest/formats/raw/raw.h"

#include "base/checked.h"
#include "base/units.h"
#include "guest/image/image.h"
#include "guest/image/option_values.h"

/* As little as a match can be: only what no other format knows is raw. */
static int raw_probe(struct span head, struct span name)
{
    (void)head;
    (void)name;
    return 1;
}

static bool raw_open(struct image *image, struct error *error)
{
    if (!checked_round_up(image->file->len, SECTOR_LEN, &image->virtual_len) || image->virtual_len > INT64_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, image->file->name, "the file is too long");
    }
    image->has_dirty_flag = true; /* as QEMU has it: there is nothing that could make it dirty */
    return true;
}

static bool raw_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error)
{
    struct file *file = image->file;
    struct extent extent = {
        .voff = voff,
        .len = len,
        .kind = EXTENT_ZERO,
        .has_file_off = true,
        .file_off = voff,
        .file = file,
    };
    if (voff < file->len) { /* what is behind is the rest of the last sector */
        enum file_extent_kind kind;
        uint64_t extent_len;
        RETURN_IF_FAILED(file_extent(file, voff, &kind, &extent_len, error));
        extent.kind = kind == FILE_DATA ? EXTENT_DATA : EXTENT_ZERO;
        /* A hole at the end of the file goes on behind it; data does not. */
        bool is_last_hole = kind == FILE_HOLE && extent_len >= file->len - voff;
        extent.len = is_last_hole ? len : min_u64(len, extent_len);
    }
    *ret_extent = extent;
    return true;
}

/* Also those of the file that an image is made in, as qemu-img takes them together. */
static const struct option_description descriptions[] = OPTION_DESCRIPTIONS(FORMAT_OPTIONS_RAW);

/* What is not allocated counts, too: it is part of the file's length. */
static bool raw_measure(const struct measure_request *request, instar_MeasureMessage *ret_result, struct error *error)
{
    uint64_t len;
    RETURN_IF_FAILED(options_check(request->options, request->option_count, descriptions, error));
    if (!checked_round_up(request->virtual_len, SECTOR_LEN, &len)) {
        return error_set(error, ERROR_USAGE, NULL, "The image size is too large");
    }
    ret_result->required = ret_result->fully_allocated = len;
    return true;
}

const struct format raw_format = {
    .name = "raw",
    .probe = raw_probe,
    .open = raw_open,
    .map = raw_map,
    .create = raw_create,
    .open_target = raw_open_target,
    .resize = raw_resize,
    .measure = raw_measure,
};
