/* SPDX-License-Identifier: Apache-2.0 */
/* Guests of a few instructions for the process engine (test_engine_process_code.S). */
#ifndef INSTAR_TESTS_UNIT_TEST_ENGINE_PROCESS_SUPPORT_H
#define INSTAR_TESTS_UNIT_TEST_ENGINE_PROCESS_SUPPORT_H

#include <stdbool.h>

#include "base/span.h"
#include "host/vmm/engines/process_private.h"

/* Defines piece_NAME(), the bytes of a piece of code. */
#define PIECE(name)                                                                   \
    extern const uint8_t code_##name[];                                               \
    extern const uint8_t code_##name##_end[];                                         \
    static struct span piece_##name(void)                                             \
    {                                                                                 \
        return (struct span){code_##name, (size_t)(code_##name##_end - code_##name)}; \
    }

static const struct engine_operations *const operations = &process_engine;

struct guest {
    struct guest_memory memory;
    struct engine *engine;
    struct error error;
    struct vcpu_exit exit;
};

/* vCPU i executes pieces[i], at the start of page i of the program. All functions fail the test when they fail. */
void guest_make(struct guest *guest, const struct span *pieces, unsigned int vcpu_count);
/* Makes a guest of one vCPU, and starts it. */
void guest_start(struct guest *guest, struct span piece);
/* And checks that nothing is left of it. */
void guest_end(struct guest *guest);

/* The start of data memory. */
uint64_t *guest_words(struct guest *guest);

/* Runs vCPU 0. */
bool guest_run(struct guest *guest);
void guest_expect_error(struct guest *guest, enum error_kind kind, const char *detail);

/* For a group of tests: fails where the engine does not work. */
int engine_probe(void **state);

#endif
