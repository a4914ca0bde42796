/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vmdk/vmdk_grain.h"

#include <string.h>

#include "base/endian.h"
#include "guest/codecs/deflate.h"

struct grain_marker_disk {
    struct le64 lba;
    struct le32 size;
};

_Static_assert(sizeof(struct grain_marker_disk) == VMDK_GRAIN_MARKER_LEN, "as in the specification");

void vmdk_grain_marker_emit(uint64_t sector, uint32_t stream_len, uint8_t ret_bytes[VMDK_GRAIN_MARKER_LEN])
{
    struct grain_marker_disk marker = {.lba = le64_make(sector), .size = le32_make(stream_len)};
    memcpy(ret_bytes, &marker, sizeof(marker));
}

bool vmdk_grain_stream(struct span bytes, struct span *ret_stream)
{
    struct grain_marker_disk marker;
    struct span stream;
    if (!span_copy(bytes, 0, &marker, sizeof(marker)) ||
        !span_slice(bytes, sizeof(marker), le32_get(marker.size), &stream) || stream.len == 0) {
        return false;
    }
    *ret_stream = stream;
    return true;
}

bool vmdk_grain_expand(struct span bytes, bool has_marker, uint8_t *target, uint32_t grain_len, uint32_t needed_len,
                       void *scratch)
{
    struct span stream = {bytes.data, min_u64(bytes.len, grain_len)};
    size_t len;
    if ((has_marker && !vmdk_grain_stream(bytes, &stream)) ||
        !deflate_expand_zlib_some(stream, target, grain_len, &len, scratch) || len < needed_len) {
        return false;
    }
    memset(target + len, 0, grain_len - len);
    return true;
}

bool vmdk_decompress(const struct image *image, const struct extent *extent, struct span stream, uint8_t *target,
                     void *scratch, struct error *error)
{
    const struct vmdk_extent *own = vmdk_find_extent(vmdk_of(image), extent->cluster_voff);
    uint32_t grain_len = own->tables.grain_len;
    uint32_t needed_len = (uint32_t)min_u64(grain_len, own->voff + own->len - extent->cluster_voff);
    if (!vmdk_grain_expand(stream, own->tables.has_markers, target, grain_len, needed_len, scratch)) {
        return error_set(error, ERROR_MALFORMED, extent->file->name,
                         "the compressed grain of offset %llu is damaged (it is at %llu)",
                         (unsigned long long)extent->cluster_voff, (unsigned long long)extent->file_off);
    }
    return true;
}
