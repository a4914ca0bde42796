/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For harnesses that Frama-C's Eva analyses (README.md): values that may be anything, and what the compiler's builtins
 * do, in C. Comes before what is proved.
 */
#ifndef INSTAR_TESTS_PROVE_PROVE_H
#define INSTAR_TESTS_PROVE_PROVE_H

#include <stdbool.h>
#include <stdint.h>

/* Any value, another one each time. */
/*@ assigns \result \from \nothing; */
uint64_t any_u64(void);
/*@ assigns \result \from \nothing; */
uint32_t any_u32(void);
/*@ assigns \result \from \nothing; */
uint16_t any_u16(void);

/*
 * Memory that is shared with a guest has any value whenever it is read; that it may be read is proved. What is stored
 * there is never seen again.
 */
static inline uint16_t shared_any_u16(const uint16_t *address)
{
    /*@ assert readable: \valid_read(address); */
    (void)address;
    return any_u16();
}

static inline uint64_t shared_any_u64(const uint64_t *address)
{
    /*@ assert readable: \valid_read(address); */
    (void)address;
    return any_u64();
}

static inline void shared_written(uint16_t *address)
{
    /*@ assert writable: \valid(address); */
    (void)address;
}

#define __atomic_load_n(address, order)                                                                           \
    ((__typeof__(*(address)))(sizeof(*(address)) == 2 ? shared_any_u16((const uint16_t *)(const void *)(address)) \
                                                      : shared_any_u64((const uint64_t *)(const void *)(address))))
#define __atomic_store_n(address, value, order) ((void)(value), shared_written(address))
#define __atomic_thread_fence(order) ((void)0)

/* As GCC's manual has them: the result wraps, and the answer is whether it had to. */
static inline bool prove_add_overflow(uint64_t a, uint64_t b, uint64_t *ret)
{
    bool is_over = a > UINT64_MAX - b;
    *ret = is_over ? b - (UINT64_MAX - a) - 1 : a + b;
    return is_over;
}

static inline bool prove_multiply_overflow(uint64_t a, uint64_t b, uint64_t *ret)
{
    bool is_over = a != 0 && b > UINT64_MAX / a;
    *ret = is_over ? any_u64() : a * b;
    return is_over;
}

#define __builtin_add_overflow(a, b, ret) prove_add_overflow((a), (b), (ret))
#define __builtin_mul_overflow(a, b, ret) prove_multiply_overflow((a), (b), (ret))

#endif
