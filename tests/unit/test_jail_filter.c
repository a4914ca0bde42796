/* SPDX-License-Identifier: Apache-2.0 */
/* The program that becomes of a list of system calls, step by step, beside the list itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/jail/jail_filter.h"

/* Beyond the last system call of any kernel for years to come. */
#define NUMBER_END 700
#define X32_BIT 0x40000000
#define ROUNDS 60
#define OUTPUT_FIRST 512u
#define INPUT_FIRST 576u
#define CHILD 4711
#define OPENER 4712

static uint32_t program_word(const struct seccomp_data *call, uint32_t off)
{
    uint32_t value;
    assert_true(off % sizeof(value) == 0 && off + sizeof(value) <= sizeof(*call));
    memcpy(&value, (const uint8_t *)call + off, sizeof(value));
    return value;
}

static bool comparison_holds(const struct sock_filter *step, uint32_t accumulator)
{
    assert_true(BPF_OP(step->code) == BPF_JEQ || BPF_OP(step->code) == BPF_JGE);
    return BPF_OP(step->code) == BPF_JEQ ? accumulator == step->k : accumulator >= step->k;
}

/* What the kernel does with a filter (Documentation/networking/filter.rst), as far as ours need it. */
static uint32_t filter_run(const struct jail_filter *filter, const struct seccomp_data *call)
{
    uint32_t accumulator = 0;
    for (uint32_t next = 0;;) { /* ends: jumps lead ahead only */
        assert_true(next < filter->len);
        const struct sock_filter *step = &filter->instructions[next++];
        switch (step->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            accumulator = program_word(call, step->k);
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            accumulator &= step->k;
            break;
        case BPF_JMP | BPF_JA:
            next += step->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
        case BPF_JMP | BPF_JGE | BPF_K:
            next += comparison_holds(step, accumulator) ? step->jt : step->jf;
            break;
        default:
            assert_int_equal(step->code, BPF_RET | BPF_K);
            return step->k;
        }
    }
}

static bool argument_holds(const struct jail_argument *argument, const struct jail_config *config, uint64_t value)
{
    struct jail_range range;
    if (jail_argument_range(argument, config, &range)) {
        return value >= range.first && value < range.end;
    }
    uint64_t masked = value & argument->mask;
    if (argument->kind == JAIL_ARGUMENT_OWN_PROCESS) {
        return masked == (uint64_t)getpid();
    }
    if (argument->kind == JAIL_ARGUMENT_CHILD) {
        return value == CHILD || value == OPENER;
    }
    bool holds = false;
    for (unsigned int i = 0; i < argument->value_count; i++) {
        holds = holds || masked == argument->values[i];
    }
    return holds;
}

static bool list_allows(const struct jail_call_choice *choice, const struct jail_config *config,
                        const struct seccomp_data *call)
{
    bool is_allowed = false;
    for (size_t i = 0; i < choice->count; i++) {
        const struct jail_call *row = &choice->table[i];
        bool holds = row->number == call->nr && jail_call_is_chosen(row, choice);
        for (unsigned int j = 0; j < JAIL_ARGUMENT_MAX && row->arguments[j] != NULL; j++) {
            holds = holds && argument_holds(row->arguments[j], config, call->args[row->arguments[j]->index]);
        }
        is_allowed = is_allowed || holds;
    }
    return is_allowed;
}

static uint64_t number_random(void)
{
    return (uint64_t)random() << 42 ^ (uint64_t)random() << 21 ^ (uint64_t)random();
}

/* One that a row of the table may have, or that is near it, or any. */
static uint64_t value_random(const struct jail_call_choice *choice)
{
    static const uint64_t usual[] = {0, 1, 2, 3, 511, 512, 575, 576, 577, INT32_MAX, UINT32_MAX, CHILD, OPENER};
    const struct jail_argument *argument = choice->table[(size_t)random() % choice->count].arguments[random() % 3];
    uint64_t value = usual[(size_t)random() % ARRAY_COUNT(usual)];
    if (argument != NULL && argument->value_count > 0) {
        value = argument->values[(unsigned int)random() % argument->value_count];
    }
    switch (random() % 8) {
    case 0:
        return number_random();
    case 1:
        return value ^ 1ull << (random() % 64);
    case 2:
        return (uint64_t)getpid();
    default:
        return value;
    }
}

static void filter_check(const struct jail_call_choice *choice)
{
    struct jail_config config = {
        .output_first = OUTPUT_FIRST, .input_first = INPUT_FIRST, .child_pids = {CHILD, OPENER}};
    struct error error = {0};
    struct jail_filter *filter = malloc(sizeof(*filter));
    assert_non_null(filter);
    assert_true(jail_filter_make(filter, choice, &config, &error));
    for (int number = 0; number < NUMBER_END; number++) {
        for (unsigned int i = 0; i < ROUNDS; i++) {
            struct seccomp_data call = {.nr = number, .arch = AUDIT_ARCH_X86_64};
            for (unsigned int j = 0; j < ARRAY_COUNT(call.args); j++) {
                call.args[j] = value_random(choice);
            }
            uint32_t expected = list_allows(choice, &config, &call) ? SECCOMP_RET_ALLOW : SECCOMP_RET_TRAP;
            assert_int_equal(filter_run(filter, &call), expected);
            call.arch = AUDIT_ARCH_I386;
            assert_int_equal(filter_run(filter, &call), SECCOMP_RET_KILL_PROCESS);
            call.arch = AUDIT_ARCH_X86_64;
            call.nr |= X32_BIT;
            assert_int_equal(filter_run(filter, &call), SECCOMP_RET_KILL_PROCESS);
        }
    }
    free(filter);
}

static void is_the_list(void **state UNUSED)
{
    for (enum jail_role role = 0; role < JAIL_ROLE_COUNT; role++) {
        struct jail_call_choice choice = jail_call_choice(0, role);
        filter_check(&choice);
        choice = jail_call_choice(UINT32_MAX & ~(uint32_t)JAIL_SANITIZER, role);
        filter_check(&choice);
    }
}

#define LONG_COUNT 60u

static const struct jail_argument four_values = {
    .text = "four", .index = 1, .mask = UINT64_MAX, .value_count = 4, .values = {1, 2, 511, 512}};
static const struct jail_argument one_bit = {.text = "bit", .index = 2, .mask = 4, .value_count = 1, .values = {4}};

/* Halves of the program are longer than a comparison leads. */
static void is_a_long_list(void **state UNUSED)
{
    struct jail_call table[LONG_COUNT];
    for (unsigned int i = 0; i < LONG_COUNT; i++) {
        table[i] = (struct jail_call){.name = "call",
                                      .number = (int)((i * 37) % NUMBER_END),
                                      .threads = 1,
                                      .arguments = {&four_values, &one_bit}};
    }
    struct jail_call_choice choice = {.table = table, .count = LONG_COUNT, .threads = 1};
    filter_check(&choice);
}

static void is_refused_where_it_cannot_be(void **state UNUSED)
{
    static const struct jail_argument halves = {
        .text = "halves", .index = 0, .mask = UINT64_MAX, .value_count = 2, .values = {1, 1ull << 40}};
    struct jail_call table[] = {{.name = "call", .number = 1, .threads = 1, .arguments = {&halves}}};
    struct jail_call_choice choice = {.table = table, .count = 1, .threads = 1};
    struct jail_config config = {0};
    struct error error = {0};
    struct jail_filter *filter = malloc(sizeof(*filter));
    assert_non_null(filter);
    assert_false(jail_filter_make(filter, &choice, &config, &error));
    assert_true(error_is_set(&error));
    free(filter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_the_list),
        cmocka_unit_test(is_a_long_list),
        cmocka_unit_test(is_refused_where_it_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
