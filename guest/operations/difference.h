/* SPDX-License-Identifier: Apache-2.0 */
/* Where two runs of bytes differ, at the speed of memory: musl's memcmp looks at one byte after the other. */
#ifndef INSTAR_GUEST_OPERATIONS_DIFFERENCE_H
#define INSTAR_GUEST_OPERATIONS_DIFFERENCE_H

#include <stdint.h>

/* The offset of the first byte that is not the same; `len` when there is none. */
uint64_t difference_find(const uint8_t *a, const uint8_t *b, uint64_t len);

/* The offset of the first byte that is not zero; `len` when there is none. */
uint64_t difference_from_zero(const uint8_t *bytes, uint64_t len);

#endif
