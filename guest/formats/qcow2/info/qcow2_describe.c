/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/info/qcow2_describe.h"

#include <string.h>

#include "base/checked.h"
#include "guest/formats/qcow2/open/qcow2_bitmaps.h"
#include "guest/formats/qcow2/open/qcow2_luks.h"
#include "guest/formats/qcow2/open/qcow2_snapshots.h"
#include "guest/image/detail.h"

static bool describe_encryption(struct image *image, struct error *error)
{
    struct luks_header luks;
    detail_object("encrypt");
    if (qcow2_of(image)->header.crypt_method == QCOW2_CRYPT_LUKS) {
        RETURN_IF_FAILED(qcow2_luks_read(image, &luks, error));
        luks_header_describe(&luks, "luks");
    } else {
        detail_word("format", "aes");
    }
    detail_end();
    return true;
}

/* What an image of version 3 says of its data file. */
static void describe_data_file(const struct qcow2 *qcow2)
{
    const struct file_name *name = &qcow2->extensions.data_file_name;
    if (name->is_set) {
        detail_text("data-file", (struct span){name->bytes, name->len});
    }
    if (qcow2_has_data_file(&qcow2->header)) {
        detail_bool("data-file-raw", (qcow2->header.autoclear_features & QCOW2_AUTOCLEAR_DATA_FILE_RAW) != 0);
    }
}

bool qcow2_describe(struct image *image, struct error *error)
{
    const struct qcow2 *qcow2 = qcow2_of(image);
    const struct qcow2_header *header = &qcow2->header;
    bool is_v3 = header->version >= 3;
    RETURN_IF_FAILED(qcow2_snapshots_describe(image, error));
    detail_object("format-specific");
    detail_word("type", "qcow2");
    detail_object("data");
    detail_word("compat", is_v3 ? "1.1" : "0.10");
    detail_word("compression-type", header->compression_type == QCOW2_COMPRESSION_ZSTD ? "zstd" : "zlib");
    if (is_v3) {
        detail_bool("lazy-refcounts", (header->compatible_features & QCOW2_COMPATIBLE_LAZY_REFCOUNTS) != 0);
        RETURN_IF_FAILED(qcow2_bitmaps_describe(image, error));
    }
    detail_number("refcount-bits", (int64_t)1 << header->refcount_order);
    if (header->crypt_method != QCOW2_CRYPT_NONE) {
        RETURN_IF_FAILED(describe_encryption(image, error));
    }
    if (is_v3) {
        describe_data_file(qcow2);
        detail_bool("corrupt", (header->incompatible_features & QCOW2_INCOMPATIBLE_CORRUPT) != 0);
        detail_bool("extended-l2", qcow2_has_extended_l2(header));
    }
    detail_end();
    detail_end();
    return true;
}
