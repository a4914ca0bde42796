/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed clusters (qcow2.txt, "Compressed Clusters Descriptor"). */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_COMPRESSED_H
#define INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_COMPRESSED_H

#include "guest/formats/qcow2/open/qcow2_image.h"

/* Memory that qcow2_decompress needs for clusters of this type. */
uint32_t qcow2_scratch_len(uint8_t compression_type);
/* What streams of this type are. */
enum stream_kind qcow2_stream_kind(uint8_t compression_type);

/* format.decompress_counted */
bool qcow2_decompress_counted(const struct image *image, const struct extent *extent, struct span stream,
                              uint8_t *target, void *scratch, size_t *ret_stream_len, struct error *error);

/* format.decompress */
bool qcow2_decompress(const struct image *image, const struct extent *extent, struct span stream, uint8_t *target,
                      void *scratch, struct error *error);

#endif
