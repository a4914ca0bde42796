/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clusters of a conversion, compressed on all vCPUs and written in the order of the disk. What comes out does not
 * depend on how many vCPUs there are, nor on which of them was faster. Where a source has a cluster compressed as the
 * target would have it, its stream is taken as it is.
 */
#ifndef INSTAR_GUEST_OPERATIONS_CONVERT_CONVERT_COMPRESSOR_H
#define INSTAR_GUEST_OPERATIONS_CONVERT_CONVERT_COMPRESSOR_H

#include "guest/operations/convert/convert_target.h"

struct convert_compressor;

/* target->target, sparse_len are set; clusters are its units. */
MUST_CHECK bool convert_compressor_make(struct convert_target *target, uint32_t vcpu_count, struct arena *arena,
                                        struct convert_compressor **ret_compressor, struct error *error);

/* Whether something can be added. */
bool convert_compressor_has_room(const struct convert_compressor *compressor);
/* A cluster at `off` of the target, whose first `len` bytes are the disk's: it is kept in `memory`. There is room. */
void convert_compressor_add(struct convert_compressor *compressor, const struct convert_memory *memory,
                            const uint8_t *cluster, uint64_t off, uint64_t len);
/* A whole cluster whose stream is there already, in `memory`, too. There is room. */
void convert_compressor_add_stream(struct convert_compressor *compressor, const struct convert_memory *memory,
                                   const uint8_t *cluster, uint64_t off, struct span stream);
/* Zeros, in whole clusters. There is room. */
void convert_compressor_add_zeros(struct convert_compressor *compressor, uint64_t off, uint64_t len);

/* Writes what is compressed and is next, with a rate limit one cluster. Sets *ret_moved if that was something. */
MUST_CHECK bool convert_compressor_advance(struct convert_compressor *compressor, bool *ret_moved, struct error *error);

/* Whether nothing waits to be written. */
bool convert_compressor_is_empty(const struct convert_compressor *compressor);

#endif
