/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens before what, by way of the guest: memory that one device has filled is read by another one, because the
 * guest has seen the first one's used index and then raised the available index of the second one. The thread sanitizer
 * does not see the guest's code, which for it would be a thread that acquires the one and releases the other; so it is
 * told here, for all queues of a machine at once. Without that sanitizer both are nothing.
 */
#ifndef INSTAR_HOST_DEVICES_GUEST_ORDER_H
#define INSTAR_HOST_DEVICES_GUEST_ORDER_H

#include <stdint.h>

#ifdef __SANITIZE_THREAD__
/* Of the sanitizer's runtime. */
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#endif

/* What the guest has made available comes after whatever any device of it has published. `memory` is the guest's. */
static inline void guest_order_acquire(const void *memory)
{
    (void)memory;
#ifdef __SANITIZE_THREAD__
    __tsan_acquire((void *)(uintptr_t)memory);
#endif
}

/* Before the guest is told that something was used. */
static inline void guest_order_release(const void *memory)
{
    (void)memory;
#ifdef __SANITIZE_THREAD__
    __tsan_release((void *)(uintptr_t)memory);
#endif
}

#endif
