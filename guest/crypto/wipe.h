/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_GUEST_CRYPTO_WIPE_H
#define INSTAR_GUEST_CRYPTO_WIPE_H

#include <stddef.h>
#include <string.h>

/* Zeros over what nobody shall find: the compiler must not leave them out where nothing reads them. */
static inline void wipe(void *bytes, size_t len)
{
    memset(bytes, 0, len);
    __asm__ volatile("" : : "r"(bytes) : "memory");
}

#endif
