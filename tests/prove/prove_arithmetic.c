/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checked arithmetic, spans, the range of guest memory, and the overlap that COPY looks for, by WP: for all arguments.
 * The contracts are about numbers that have no bound, so what wraps in C does not hold here.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* GCC's builtins, as its manual has them; MAX is 2^64 - 1. */
/*@ requires \valid(ret);
    assigns *ret;
    ensures \result == 0 || \result == 1;
    ensures \result == 0 ==> *ret == a + b;
    ensures \result == 1 ==> a + b > 18446744073709551615; */
static int prove_add_overflow(uint64_t a, uint64_t b, uint64_t *ret);
/*@ requires \valid(ret);
    assigns *ret;
    ensures \result == 0 || \result == 1;
    ensures \result == 0 ==> *ret == a * b;
    ensures \result == 1 ==> a * b > 18446744073709551615; */
static int prove_multiply_overflow(uint64_t a, uint64_t b, uint64_t *ret);
#define __builtin_add_overflow(a, b, ret) prove_add_overflow((a), (b), (ret))
#define __builtin_mul_overflow(a, b, ret) prove_multiply_overflow((a), (b), (ret))

#include "base/span.h"
#include "host/vmm/guest_memory.h"

/*@ requires \valid(ret_sum);
    assigns *ret_sum;
    ensures exact: \result ==> *ret_sum == a + b;
    ensures refused: !\result ==> a + b > 18446744073709551615 && *ret_sum == \old(*ret_sum); */
static bool prove_add(uint64_t a, uint64_t b, uint64_t *ret_sum)
{
    return checked_add(a, b, ret_sum);
}

/*@ requires \valid(ret_product);
    assigns *ret_product;
    ensures exact: \result ==> *ret_product == a * b;
    ensures refused: !\result ==> a * b > 18446744073709551615 && *ret_product == \old(*ret_product); */
static bool prove_multiply(uint64_t a, uint64_t b, uint64_t *ret_product)
{
    return checked_multiply(a, b, ret_product);
}

/*@ assigns \nothing;
    ensures within: \result <==> start + len <= limit; */
static bool prove_range(uint64_t start, uint64_t len, uint64_t limit)
{
    return range_is_within(start, len, limit);
}

/*@ assigns \nothing;
    ensures \result == (a < b ? a : b); */
static uint64_t prove_min(uint64_t a, uint64_t b)
{
    return min_u64(a, b);
}

/*@ assigns \nothing;
    ensures \result == (a > b ? a : b); */
static uint64_t prove_max(uint64_t a, uint64_t b)
{
    return max_u64(a, b);
}

/* What a slice has lies in the whole; one that does not is refused. */
/*@ requires \valid(ret_part);
    requires whole.len == 0 || \valid_read(whole.data + (0 .. whole.len - 1));
    assigns *ret_part;
    ensures within: \result ==> ret_part->data == whole.data + off && ret_part->len == len && off + len <= whole.len;
    ensures readable: \result && len > 0 ==> \valid_read(ret_part->data + (0 .. len - 1));
    ensures refused: !\result ==> off + len > whole.len; */
static bool prove_slice(struct span whole, uint64_t off, uint64_t len, struct span *ret_part)
{
    return span_slice(whole, off, len, ret_part);
}

/* Lifted out of their files by the Makefile's rule; see run. */
#include "extracted.h"

/*@ requires \valid_read(memory) && \valid(ret_host) && \separated(memory, ret_host);
    requires memory->data_len == 0 || \valid(memory->data + (0 .. memory->data_len - 1));
    assigns *ret_host;
    ensures within: \result ==> gpa >= LAYOUT_DATA_GPA && gpa - LAYOUT_DATA_GPA + len <= memory->data_len &&
                                *ret_host == memory->data + (gpa - LAYOUT_DATA_GPA);
    ensures valid: \result && len > 0 ==> \valid(*ret_host + (0 .. len - 1));
    ensures refused: !\result ==> gpa < LAYOUT_DATA_GPA || gpa - LAYOUT_DATA_GPA + len > memory->data_len; */
static bool prove_guest_memory(const struct guest_memory *memory, uint64_t gpa, uint64_t len, uint8_t **ret_host)
{
    return guest_memory_data(memory, gpa, len, ret_host);
}

/* Two ranges of one file, of the same length, that each end before 2^64. */
/*@ assigns \nothing;
    ensures overlap: len > 0 ==> (\result <==> a_off < b_off + len && b_off < a_off + len); */
static bool prove_overlap(uint64_t a_off, uint64_t b_off, uint64_t len)
{
    return ranges_overlap(a_off, b_off, len);
}
