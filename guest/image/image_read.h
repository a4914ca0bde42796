/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a chain of images, a piece at a time: for what is rare, and small. Payload in bulk goes another way. */
#ifndef INSTAR_GUEST_IMAGE_IMAGE_READ_H
#define INSTAR_GUEST_IMAGE_IMAGE_READ_H

#include "guest/image/image.h"
#include "guest/image/unit_stream.h"

/* Memory for clusters that are compressed. Starts as zero; of the arena from when it is needed. */
struct image_read_memory {
    uint32_t unit_len; /* the longest that fits */
    uint32_t scratch_len;
    uint8_t *stream;
    uint8_t *cluster;
    void *scratch;
    struct unit_stream long_unit; /* expanded from front to back; its memory is taken when there is one */
};

/* Bytes of the arena, at most, that images of the chain take to expand clusters, whose length is bounded. */
uint64_t image_read_memory_len(const struct image *image);

/* Takes all that images of the chain may need, so that there is enough whoever takes the rest of the arena. */
MUST_CHECK bool image_read_reserve(const struct image *image, struct image_read_memory *memory, struct error *error);

/* Reads `len` bytes at `voff` of the disk that the chain is, and waits for them; behind its end there are zeros. */
MUST_CHECK bool image_read(struct image *image, uint64_t voff, uint8_t *target, uint64_t len,
                           struct image_read_memory *memory, struct error *error);

/* Reads and decrypts an encrypted extent of `image`, and waits. */
MUST_CHECK bool image_read_encrypted(const struct image *image, const struct extent *extent, uint8_t *target,
                                     struct error *error);

/* Expands the unit, which is not a long one, of a compressed extent of `image`: *ret_cluster is valid until the next
 * call. */
MUST_CHECK bool image_read_cluster(const struct image *image, const struct extent *extent,
                                   struct image_read_memory *memory, const uint8_t **ret_cluster, struct error *error);

#endif
