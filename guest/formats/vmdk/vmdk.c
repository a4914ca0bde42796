/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, what info tells, and the format's table. */
#include "guest/formats/vmdk/vmdk.h"

#include <string.h>

#include "base/text.h"
#include "guest/codecs/deflate.h"
#include "guest/formats/vmdk/vmdk_check.h"
#include "guest/formats/vmdk/vmdk_create.h"
#include "guest/formats/vmdk/vmdk_extents.h"
#include "guest/formats/vmdk/vmdk_grain.h"
#include "guest/formats/vmdk/vmdk_map.h"
#include "guest/formats/vmdk/vmdk_modify.h"
#include "guest/image/detail.h"
#include "guest/image/format_open.h"
#include "guest/image/probe.h"

static size_t line_end(struct span text, size_t off)
{
    while (off < text.len && text.data[off] != '\n') { /* ends with the text */
        off++;
    }
    return off;
}

/*
 * A descriptor: comments, lines of blanks (an empty one is none), and then the version. QEMU reads it like that, and
 * takes what is different for raw.
 */
static bool is_vmdk_descriptor(struct span text)
{
    size_t off = 0;
    while (off < text.len && (text.data[off] == '#' || text.data[off] == ' ')) { /* ends: each round takes a line */
        size_t end = line_end(text, off);
        if (text.data[off] == ' ') {
            while (off < end && text.data[off] == ' ') {
                off++;
            }
            off += off + 1 == end && text.data[off] == '\r' ? 1 : 0;
            if (off != end || end == text.len) {
                return false;
            }
        }
        off = end + 1;
    }
    if (off >= text.len || !(PROBE_HAS_TEXT(text, off, "version=1") || PROBE_HAS_TEXT(text, off, "version=2") ||
                             PROBE_HAS_TEXT(text, off, "version=3"))) {
        return false;
    }
    return PROBE_HAS_TEXT(text, off + 9, "\n") || PROBE_HAS_TEXT(text, off + 9, "\r\n");
}

static int vmdk_probe(struct span head, struct span name)
{
    (void)name;
    return PROBE_HAS_TEXT(head, 0, "COWD") || PROBE_HAS_TEXT(head, 0, "KDMV") || is_vmdk_descriptor(head) ? PROBE_SURE
                                                                                                          : 0;
}

/* What is behind the image, and which content that must have. */
static bool open_identity(struct image *image, struct error *error)
{
    struct vmdk *vmdk = vmdk_of(image);
    struct span text;
    struct span parent;
    RETURN_IF_FAILED(vmdk_read_descriptor_head(image, &text, error));
    if (!vmdk_descriptor_parent(text, &parent)) {
        return error_set(error, ERROR_MALFORMED, NULL, "the descriptor's parentFileNameHint is no name");
    }
    if (parent.len > FILE_NAME_LEN_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "the descriptor's parentFileNameHint has %zu bytes, more than %u", parent.len,
                         FILE_NAME_LEN_MAX);
    }
    if (parent.len > 0) {
        image->backing_name.is_set = true;
        image->backing_name.len = (uint16_t)parent.len;
        memcpy(image->backing_name.bytes, parent.data, parent.len);
        text_copy(image->backing_format, sizeof(image->backing_format), "vmdk"); /* nothing else can be behind it */
    }
    return (vmdk_descriptor_cid(text, &vmdk->cid) && vmdk_descriptor_parent_cid(text, &vmdk->parent_cid)) ||
           error_set(error, ERROR_MALFORMED, NULL, "the image has no descriptor with CID and parentCID");
}

static bool vmdk_open(struct image *image, struct error *error)
{
    void *state;
    RETURN_IF_FAILED(format_open_state(image, sizeof(struct vmdk), &state, error));
    RETURN_IF_FAILED(vmdk_extents_open(image, error));
    image->scratch_len = image->unit_len_max > 0 ? DEFLATE_SCRATCH_LEN : 0;
    return open_identity(image, error);
}

/* QEMU reads nothing through an image whose parent is another one than it was made for. */
static bool vmdk_accepts_backing(const struct image *image)
{
    return image->backing->format == &vmdk_format && vmdk_of(image->backing)->cid == vmdk_of(image)->parent_cid;
}

static void describe_extent(const struct vmdk_extent *extent)
{
    detail_object(NULL);
    if (extent->tables.is_compressed) {
        detail_bool("compressed", true);
    }
    detail_number("virtual-size", (int64_t)extent->len);
    if (extent->file != NULL) {
        detail_file("filename", extent->file);
    }
    if (extent->kind == VMDK_KIND_SPARSE) {
        detail_number("cluster-size", extent->tables.grain_len);
    }
    detail_word("format", extent->has_type ? vmdk_extent_type_name(extent->type) : "");
    detail_end();
}

static bool vmdk_describe(struct image *image, struct error *error)
{
    const struct vmdk *vmdk = vmdk_of(image);
    (void)error;
    detail_object("format-specific");
    detail_word("type", "vmdk");
    detail_object("data");
    detail_number("cid", vmdk->cid);
    detail_number("parent-cid", vmdk->parent_cid);
    detail_word("create-type", vmdk->create_type);
    detail_list("extents");
    for (uint32_t i = 0; i < vmdk->extent_count; i++) {
        describe_extent(&vmdk->extents[i]);
    }
    detail_end();
    detail_end();
    detail_end();
    return true;
}

const struct format vmdk_format = {
    .name = "vmdk",
    .tells_by_cluster = true,
    .takes_backing = true,
    .probe = vmdk_probe,
    .open = vmdk_open,
    .accepts_backing = vmdk_accepts_backing,
    .takes_foreign_zeros = true,
    .map = vmdk_map,
    .table_at = vmdk_table_at,
    .decompress = vmdk_decompress,
    .describe = vmdk_describe,
    .check = vmdk_check,
    .repair = vmdk_repair,
    .create = vmdk_create,
    .open_target = vmdk_open_target,
    .resize = vmdk_resize,
};
