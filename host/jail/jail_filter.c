/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of system calls as a seccomp filter. What is not on the list raises SIGSYS in the thread that tried, and is
 * not executed; system calls of another architecture, or of x32, end the process at once.
 *
 * The program looks for the number by halves of the numbers that are listed; where it is found come the rows for this
 * number, each a conjunction of comparisons of arguments. Arguments are compared in all 64 bits. When it is loaded the
 * kernel tries it with each number that there is, and makes machine code of it: so both its length and the way to a
 * number that is not listed take time in each job. It is written by hand, and not by a library, as it is made for each
 * job three times.
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
/* Rows that are chosen of a table. */
#define ROW_MAX 128u
/* How far a comparison may lead. */
#define DISTANCE_MAX UINT8_MAX

struct maker {
    const struct jail_config *config;
    struct jail_filter *filter;
    const struct jail_call *rows[ROW_MAX]; /* by number; those of one number as the table has them */
    unsigned int row_count;
    /* Of the row at work: instructions that jump behind it, when their comparison is true, or when it is false. */
    unsigned int failures[FAILURE_MAX];
    bool fails_when_true[FAILURE_MAX];
    unsigned int failure_count;
    bool has_failed; /* too long, or beyond what this file can express */
};

static unsigned int emit(struct maker *maker, uint16_t code, uint32_t value)
{
    struct jail_filter *filter = maker->filter;
    if (filter->len == JAIL_FILTER_MAX) {
        maker->has_failed = true;
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
        maker->has_failed = true;
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

/* A jump ahead, from a comparison to here. */
static uint8_t distance_here(struct maker *maker, unsigned int from)
{
    unsigned int distance = maker->filter->len - from - 1;
    if (distance > DISTANCE_MAX) {
        maker->has_failed = true;
    }
    return (uint8_t)distance;
}

/* Any of them. They have the upper half in common, which is compared once, or not at all where the mask leaves it out.
 */
static void values_expect(struct maker *maker, const struct jail_argument *argument, const uint64_t *values,
                          unsigned int count)
{
    uint32_t off = low_off(argument->index);
    uint32_t high_mask = (uint32_t)(argument->mask >> 32);
    uint32_t high = (uint32_t)(values[0] >> 32);
    unsigned int matches[JAIL_VALUE_MAX];
    if (high_mask != 0 || high != 0) {
        half_load(maker, off + 4, high_mask);
        expect(maker, BPF_JEQ, high, true);
    }
    half_load(maker, off, (uint32_t)argument->mask);
    for (unsigned int i = 0; i + 1 < count; i++) {
        matches[i] = emit(maker, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)values[i]);
    }
    expect(maker, BPF_JEQ, (uint32_t)values[count - 1], true);
    for (unsigned int i = 0; i + 1 < count; i++) {
        maker->filter->instructions[matches[i]].jt = distance_here(maker, matches[i]);
        maker->has_failed = maker->has_failed || values[i] >> 32 != values[count - 1] >> 32;
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

/* No process has the number of all bits: so where there is no child, none is allowed. */
static void children_expect(struct maker *maker, const struct jail_argument *argument)
{
    uint64_t numbers[ARRAY_COUNT(maker->config->child_pids)] = {UINT64_MAX};
    unsigned int count = 0;
    for (unsigned int i = 0; i < ARRAY_COUNT(numbers); i++) {
        if (maker->config->child_pids[i] > 0) {
            numbers[count++] = (uint64_t)maker->config->child_pids[i];
        }
    }
    values_expect(maker, argument, numbers, count > 0 ? count : 1);
}

static void argument_expect(struct maker *maker, const struct jail_argument *argument)
{
    struct jail_range range;
    if (jail_argument_range(argument, maker->config, &range)) {
        range_expect(maker, argument->index, range.first, range.end);
    } else if (argument->kind == JAIL_ARGUMENT_OWN_PROCESS) {
        uint64_t own_process = (uint64_t)getpid();
        values_expect(maker, argument, &own_process, 1);
    } else if (argument->kind == JAIL_ARGUMENT_CHILD) {
        children_expect(maker, argument);
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
        struct sock_filter *instruction = &maker->filter->instructions[from];
        *(maker->fails_when_true[i] ? &instruction->jt : &instruction->jf) = distance_here(maker, from);
    }
}

/* All rows of one number: any of them. */
static void number_make(struct maker *maker, unsigned int first, unsigned int end)
{
    unsigned int is_other = emit(maker, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)maker->rows[first]->number);
    for (unsigned int i = first; i < end; i++) {
        row_make(maker, maker->rows[i]);
    }
    maker->filter->instructions[is_other].jf = distance_here(maker, is_other);
    answer(maker, SECCOMP_RET_TRAP);
}

/* The row where another number begins, as near to the middle as may be; `end` where all rows have one number. */
static unsigned int border_find(const struct maker *maker, unsigned int first, unsigned int end)
{
    unsigned int middle = first + (end - first) / 2;
    unsigned int border = middle;
    while (border > first && maker->rows[border - 1]->number == maker->rows[middle]->number) {
        border--;
    }
    while (border == first && middle < end && maker->rows[middle]->number == maker->rows[first]->number) {
        middle++;
    }
    return border > first ? border : middle;
}

/*
 * From a comparison to here, however far: then by a jump of its own, for which what is behind it moves on. Whole parts
 * of the program do, and jumps tell distances.
 */
static void branch_close(struct maker *maker, unsigned int branch)
{
    struct jail_filter *filter = maker->filter;
    unsigned int len = filter->len - branch - 1;
    if (len <= DISTANCE_MAX) {
        filter->instructions[branch].jt = (uint8_t)len;
        return;
    }
    emit(maker, BPF_JMP | BPF_JA, 0);
    if (!maker->has_failed) {
        struct sock_filter *jump = &filter->instructions[branch + 1];
        memmove(jump + 1, jump, len * sizeof(*jump));
        *jump = (struct sock_filter){.code = BPF_JMP | BPF_JA, .k = len};
        filter->instructions[branch].jf = 1;
    }
}

/* Ends: each half has fewer rows, and there are ROW_MAX. */
static void rows_make(struct maker *maker, unsigned int first, unsigned int end)
{
    unsigned int border = border_find(maker, first, end);
    if (border == end) {
        number_make(maker, first, end);
        return;
    }
    unsigned int branch = emit(maker, BPF_JMP | BPF_JGE | BPF_K, (uint32_t)maker->rows[border]->number);
    rows_make(maker, first, border);
    branch_close(maker, branch);
    rows_make(maker, border, end);
}

static void rows_choose(struct maker *maker, const struct jail_call_choice *choice)
{
    for (size_t i = 0; i < choice->count; i++) {
        const struct jail_call *call = &choice->table[i];
        if (!jail_call_is_chosen(call, choice)) {
            continue;
        }
        if (maker->row_count == ROW_MAX) {
            maker->has_failed = true;
            return;
        }
        unsigned int place = maker->row_count++;
        for (; place > 0 && maker->rows[place - 1]->number > call->number; place--) {
            maker->rows[place] = maker->rows[place - 1];
        }
        maker->rows[place] = call;
    }
}

bool jail_filter_make(struct jail_filter *filter, const struct jail_call_choice *choice,
                      const struct jail_config *config, struct error *error)
{
    struct maker maker = {.config = config, .filter = filter};
    filter->len = 0;
    load(&maker, offsetof(struct seccomp_data, arch));
    unsigned int is_native = emit(&maker, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64);
    filter->instructions[is_native].jt = 1;
    answer(&maker, SECCOMP_RET_KILL_PROCESS);
    load(&maker, offsetof(struct seccomp_data, nr));
    unsigned int is_x32 = emit(&maker, BPF_JMP | BPF_JGE | BPF_K, X32_FIRST);
    filter->instructions[is_x32].jf = 1;
    answer(&maker, SECCOMP_RET_KILL_PROCESS);
    rows_choose(&maker, choice);
    if (maker.row_count > 0) {
        rows_make(&maker, 0, maker.row_count);
    } else {
        answer(&maker, SECCOMP_RET_TRAP);
    }
    return !maker.has_failed || error_set(error, ERROR_HOST, NULL, "cannot make a system call filter");
}

struct jail_filter *jail_filters_make(const struct jail_config *config, struct error *error)
{
    struct jail_filter *filters = malloc(JAIL_ROLE_COUNT * sizeof(*filters)); /* more room than is used */
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
