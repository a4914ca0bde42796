/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A conformance test is a guest program that does what the virtio specification, or abi/, lets a guest do, and
 * checks what comes of it. It needs no driver: it fills rings by hand (tests/hostile/raw_ring.h).
 *
 * The input is the suite's pattern: its 64-bit word number i, from 0 on, is (i + 1) * PATTERN_FACTOR.
 */
#ifndef INSTAR_TESTS_CONFORMANCE_CONFORMANCE_H
#define INSTAR_TESTS_CONFORMANCE_CONFORMANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/runtime/platform.h"
#include "guest/runtime/runtime.h"
#include "tests/hostile/raw_ring.h"

#define PATTERN_FACTOR 0x9e3779b97f4a7c15ull

/* The test, on vCPU 0; returns when it has passed. */
void conformance_run(struct runtime *runtime);

/* Reports failure, with the place and what should be true, and ends the machine. */
#define CHECK(condition)                                           \
    do {                                                           \
        if (!(condition)) {                                        \
            conformance_fail(__FILE_NAME__, __LINE__, #condition); \
        }                                                          \
    } while (0)

NO_RETURN void conformance_fail(const char *file, int line, const char *condition);

/* Whether `data` is what the pattern has at `off`. */
bool pattern_matches(const volatile void *data, uint64_t off, uint64_t len);
/* Whether all of it is zero. */
bool is_zero(const volatile void *data, uint64_t len);

/* The file's length in bytes, exactly. */
uint64_t file_len(const struct raw_ring *ring);

#endif
