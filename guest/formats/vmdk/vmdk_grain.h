/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed grains: a zlib stream, mostly behind a marker that has its length ("Virtual Disk Format 5.0",
 * Stream-Optimized Compressed Sparse Extents). Nothing else tells that length; as in QEMU, marker and stream lie within
 * twice the length of a grain.
 */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_GRAIN_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_GRAIN_H

#include "guest/formats/vmdk/vmdk.h"

/* What a marker has before the stream: the grain's first sector, 64 bits, and the stream's length, 32 bits. */
#define VMDK_GRAIN_MARKER_LEN 12u

/* The marker of a stream of `stream_len` bytes that has the grain at `sector` of the disk. */
void vmdk_grain_marker_emit(uint64_t sector, uint32_t stream_len, uint8_t ret_bytes[VMDK_GRAIN_MARKER_LEN]);

/* The stream in `bytes`, which begin with its marker. False, without an error, when it is empty or passes their end. */
MUST_CHECK bool vmdk_grain_stream(struct span bytes, struct span *ret_stream);

/*
 * Expands a grain of `grain_len` bytes, of which `needed_len` are of the disk: what the stream does not have of the
 * others is zeros. False when it is damaged. On any vCPU; `scratch` as in deflate_expand_zlib_some.
 */
MUST_CHECK bool vmdk_grain_expand(struct span bytes, bool has_marker, uint8_t *target, uint32_t grain_len,
                                  uint32_t needed_len, void *scratch);

/* format.decompress */
bool vmdk_decompress(const struct image *image, const struct extent *extent, struct span stream, uint8_t *target,
                     void *scratch, struct error *error);

#endif
