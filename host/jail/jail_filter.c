/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of system calls as a seccomp filter. What is not on the list raises SIGSYS in the thread that tried, and is
 * not executed; system calls of another architecture, or of x32, end the process at once.
 *
 * The program compares the number with each that is listed, the most frequent first, as the table has them; behind it
 * come the rows for this number, each a conjunction of comparisons of arguments. Arguments are compared in all 64 bits.
 * It is written by hand, and not by a library, as it is made for each job three times.
 */
#include "host/jail/jail_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/jail/jail_calls.h"

/* Numbers from here on are x32's (asm/unistd.h, __X32_SYSCALL_BIT). */
#define X32_FIRST 0x40000000u
/* Comparisons of a row that fail, and so lead behind it. */
#define FAILURE_MAX 32u

struct maker {
    const struct jail_config *config;
    const struct jail_call_choice *choice;
    struct jail_filter *filter;
    /* Of the row at work: instructions that jump behind it, when their comparison is true, or when it is false. */
    unsigned int failures[FAILURE_MAX];
    bool fails_when_true[FAILURE_MAX];
    unsigned int failure_count;
    bool is_too_long;
};

static unsigned int emit(struct maker *maker, uint16_t code, uint32_t value)
{
    struct jail_filter *filter = maker->filter;
    if (filter->len == JAIL_FILTER_MAX) {
        maker->is_too_long = true;
        return 0;
    }
    filter->instructions[filter->len] = (struct sock_filter){.code = code, .k = value};
    return filter->len++;
}

static void load(struct maker *maker, uint32_t off)
{
    emit(maker, BPF_LD | BPF_W | BPF_ABS, off);
}

static void answer(struct maker *maker, uint32_t action)
{
    emit(maker, BPF_RET | BPF_K, action);
}

/* Goes on behind the row unless the accumulator is as the comparison has it. */
static void expect(struct maker *maker, uint16_t comparison, uint32_t value, bool expected)
{
    if (maker->failure_count == FAILURE_MAX) {
        maker->is_too_long = true;
        return;
    }
    maker->fails_when_true[maker->failure_count] = !expected;
    maker->failures[maker->failure_count++] = emit(maker, (uint16_t)(BPF_JMP | comparison | BPF_K), value);
}

/* The halves of an argument, on this little-endian machine. */
static uint32_t low_off(unsigned int argument)
{
    return (uint32_t)(offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t));
}

static void half_load(struct maker *maker, uint32_t off, uint32_t mask)
{
    load(maker, off);
    if (mask != UINT32_MAX) {
        emit(maker, BPF_ALU | BPF_AND | BPF_K, mask);
    }
}

/* All but the last value: the next one is tried where this one is not it. */
static void values_expect(struct maker *maker, const struct jail_argument *argument, const uint64_t *values,
                          unsigned int count)
{
    uint32_t off = low_off(argument->index);
    unsigned int matches[2 * JAIL_VALUE_MAX];
    unsigned int match_count = 0;
    for (unsigned int i = 0; i + 1 < count; i++) {
        half_load(maker, off + 4, (uint32_t)(argument->mask >> 32));
        unsigned int high = emit(maker, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(values[i] >> 32));
        half_load(maker, off, (uint32_t)argument->mask);
        matches[match_count] = emit(maker, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)values[i]);
        maker->filter->instructions[high].jf = (uint8_t)(matches[match_count] - high);
        match_count++;
    }
    half_load(maker, off + 4, (uint32_t)(argument->mask >> 32));
    expect(maker, BPF_JEQ, (uint32_t)(values[count - 1] >> 32), true);
    half_load(maker, off, (uint32_t)argument->mask);
    expect(maker, BPF_JEQ, (uint32_t)values[count - 1], true);
    for (unsigned int i = 0; i < match_count; i++) {
        maker->filter->instructions[matches[i]].jt = (uint8_t)(maker->filter->len - matches[i] - 1);
    }
}

static void range_expect(struct maker *maker, unsigned int index, uint32_t first, uint32_t end)
{
    load(maker, low_off(index) + 4);
    expect(maker, BPF_JEQ, 0, true);
    load(maker, low_off(index));
    if (first > 0) {
        expect(maker, BPF_JGE, first, true);
    }
    expect(maker, BPF_JGE, end, false);
}

static void argument_expect(struct maker *maker, const struct jail_argument *argument)
{
    struct jail_range range;
    /* Without one: no process has the number of all bits. */
    const int *pids = maker->config->child_pids;
    uint64_t children[] = {pids[0] > 0 ? (uint64_t)pids[0] : UINT64_MAX, pids[1] > 0 ? (uint64_t)pids[1] : UINT64_MAX};
    if (jail_argument_range(argument, maker->config, &range)) {
        range_expect(maker, argument->index, range.first, range.end);
    } else if (argument->kind == JAIL_ARGUMENT_OWN_PROCESS) {
        uint64_t own_process = (uint64_t)getpid();
        values_expect(maker, argument, &own_process, 1);
    } else if (argument->kind == JAIL_ARGUMENT_CHILD) {
        values_expect(maker, argument, children, ARRAY_COUNT(children));
    } else {
        values_expect(maker, argument, argument->values, argument->value_count);
    }
}

static void row_make(struct maker *maker, const struct jail_call *call)
{
    maker->failure_count = 0;
    for (unsigned int i = 0; i < JAIL_ARGUMENT_MAX && call->arguments[i] != NULL; i++) {
        argument_expect(maker, call->arguments[i]);
    }
    answer(maker, SECCOMP_RET_ALLOW);
    for (unsigned int i = 0; i < maker->failure_count; i++) {
        unsigned int from = maker->failures[i];
        uint8_t distance = (uint8_t)(maker->filter->len - from - 1); /* a row is shorter than 256 */
        struct sock_filter *instruction = &maker->filter->instructions[from];
        *(maker->fails_when_true[i] ? &instruction->jt : &instruction->jf) = distance;
    }
}

static bool is_first_of_number(const struct maker *maker, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        const struct jail_call *call = &maker->choice->table[i];
        if (call->number == maker->choice->table[index].number && jail_call_is_chosen(call, maker->choice)) {
            return false;
        }
    }
    return true;
}

/* All rows of a number, at its first one. */
static void number_make(struct maker *maker, size_t index)
{
    const struct jail_call_choice *choice = maker->choice;
    uint32_t number = (uint32_t)choice->table[index].number;
    unsigned int other = emit(maker, BPF_JMP | BPF_JEQ | BPF_K, number);
    maker->filter->instructions[other].jt = 1;
    unsigned int skip = emit(maker, BPF_JMP | BPF_JA, 0);
    for (size_t i = index; i < choice->count; i++) {
        if ((uint32_t)choice->table[i].number == number && jail_call_is_chosen(&choice->table[i], choice)) {
            row_make(maker, &choice->table[i]);
        }
    }
    answer(maker, SECCOMP_RET_TRAP);
    maker->filter->instructions[skip].k = (uint32_t)(maker->filter->len - skip - 1);
}

bool jail_filter_make(struct jail_filter *filter, const struct jail_call_choice *choice,
                      const struct jail_config *config, struct error *error)
{
    struct maker maker = {.config = config, .choice = choice, .filter = filter};
    filter->len = 0;
    load(&maker, offsetof(struct seccomp_data, arch));
    unsigned int is_native = emit(&maker, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64);
    filter->instructions[is_native].jt = 1;
    answer(&maker, SECCOMP_RET_KILL_PROCESS);
    load(&maker, offsetof(struct seccomp_data, nr));
    unsigned int is_x32 = emit(&maker, BPF_JMP | BPF_JGE | BPF_K, X32_FIRST);
    filter->instructions[is_x32].jf = 1;
    answer(&maker, SECCOMP_RET_KILL_PROCESS);
    for (size_t i = 0; i < choice->count; i++) {
        if (jail_call_is_chosen(&choice->table[i], choice) && is_first_of_number(&maker, i)) {
            number_make(&maker, i);
        }
    }
    answer(&maker, SECCOMP_RET_TRAP);
    return !maker.is_too_long || error_set(error, ERROR_HOST, NULL, "cannot make a system call filter");
}

struct jail_filter *jail_filters_make(const struct jail_config *config, struct error *error)
{
    struct jail_filter *filters = calloc(JAIL_ROLE_COUNT, sizeof(*filters));
    if (filters == NULL) {
        error_fill(error, ERROR_HOST, NULL, "out of memory");
    }
    for (unsigned int role = 0; role < JAIL_ROLE_COUNT && filters != NULL; role++) {
        struct jail_call_choice choice = jail_call_choice(config->parts, role);
        if (!jail_filter_make(&filters[role], &choice, config, error)) {
            free(filters);
            filters = NULL;
        }
    }
    return filters;
}

bool jail_filter_load(const struct jail_filter *filter, struct error *error)
{
    struct sock_fprog program = {.len = filter->len, .filter = (struct sock_filter *)(uintptr_t)filter->instructions};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot load a system call filter: %s", strerror(errno));
    }
    return true;
}
