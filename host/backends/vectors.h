/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of scatter/gather vectors. The caller's vectors are never modified; a part [skip, skip + len) lies
 * within them.
 */
#ifndef INSTAR_HOST_BACKENDS_VECTORS_H
#define INSTAR_HOST_BACKENDS_VECTORS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * Sets ret_part to the vectors of a part, none of them empty, and returns how many they are. Stops after `max`
 * vectors, which then hold only the beginning of the part.
 */
unsigned int vectors_part(const struct iovec *iov, unsigned int iov_count, uint64_t skip, uint64_t len,
                          struct iovec *ret_part, unsigned int max);

/* Copies a part of the vectors to `target`. */
void vectors_gather(const struct iovec *iov, unsigned int iov_count, uint64_t skip, void *target, size_t len);

/* Copies `source`, which stays as it is, to a part of the vectors. */
void vectors_scatter(const struct iovec *iov, unsigned int iov_count, uint64_t skip, void *source, size_t len);

#endif
