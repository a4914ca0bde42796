/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail, from inside (tests/commands/jail.py runs this; it is never installed):
 *   probe table              the table of system calls, as docs/security.md shows it
 *   probe parents            that of the job's parent, and of who opens files for it
 *   probe list PART...       the system calls that a process of these parts keeps, each behind its kind of thread
 *   probe numbers PART...    tries every number, and compares what is allowed with the table
 *   probe escapes PART...    tries what an attacker would
 *   probe cost               what the jail costs at start, in microseconds
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/jail/jail.h"
#include "host/jail/jail_calls.h"
#include "host/jail/jail_parent.h"
#include "tests/jail/escapes.h"
#include "tests/jail/jail_probe.h"

/* Beyond the last system call of any kernel for years to come. */
#define NUMBER_END 700
#define COST_ROUNDS 51

/* How the documentation calls parts. */
static const struct {
    uint32_t parts;
    const char *name;
} names[] = {
    {JAIL_ENGINE_KVM, "KVM"},
    {JAIL_ENGINE_PROCESS, "process engine"},
    {JAIL_BACKEND_REGULAR, "regular"},
    {JAIL_BACKEND_DIRECT, "direct"},
    {JAIL_BACKEND_MMAP, "mmap"},
    {JAIL_BACKEND_MEMORY, "memory"},
    {JAIL_BACKEND_IO_URING, "io-uring"},
    {JAIL_LATE_FILES, "late files"},
    {JAIL_COPIES, "copies"},
    {JAIL_MIN_FREE, "`--min-free`"},
    {JAIL_RESIZABLE_OUTPUT, "resizable output"},
    {JAIL_DAEMONS, "daemons"},
    {JAIL_SOCKETS, "sockets"},
    {JAIL_STATISTICS, "`--stats`"},
};

static const char *const roles[] = {
    [JAIL_ROLE_FIRST] = "first",
    [JAIL_ROLE_VCPU] = "vcpu",
    [JAIL_ROLE_DEVICE] = "device",
};

static void parts_print(uint32_t parts)
{
    const char *separator = "";
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if ((parts & names[i].parts) != 0) {
            printf("%s%s", separator, names[i].name);
            separator = ", ";
        }
    }
    printf("%s", parts == JAIL_PARTS_ALL ? "all" : "");
}

static void threads_print(uint32_t threads)
{
    const char *separator = "";
    for (unsigned int role = 0; role < JAIL_ROLE_COUNT && threads != JAIL_THREADS_ALL; role++) {
        if ((threads & (1u << role)) != 0) {
            printf("%s%s", separator, roles[role]);
            separator = ", ";
        }
    }
    printf("%s", threads == JAIL_THREADS_ALL ? "all" : "");
}

static void arguments_print(const struct jail_call *call)
{
    printf("%s", call->arguments[0] == NULL ? "any" : "");
    for (unsigned int i = 0; i < JAIL_ARGUMENT_MAX && call->arguments[i] != NULL; i++) {
        printf("%s%s", i > 0 ? "; " : "", call->arguments[i]->text);
    }
}

static int table_print(void)
{
    printf("| system call | arguments | threads | kept with | for |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < jail_call_count; i++) {
        const struct jail_call *call = &jail_calls[i];
        if (call->parts == JAIL_SANITIZER) {
            continue;
        }
        printf("| `%s` | ", call->name);
        arguments_print(call);
        printf(" | ");
        threads_print(call->threads);
        printf(" | ");
        parts_print(call->parts);
        printf(" | %s |\n", call->reason);
    }
    return EXIT_SUCCESS;
}

static int parents_print(void)
{
    static const char *const processes[] = {
        [1u << JAIL_PARENT_RELAY] = "parent",
        [1u << JAIL_PARENT_OPENER] = "opener",
        [1u << JAIL_PARENT_RELAY | 1u << JAIL_PARENT_OPENER] = "both",
    };
    printf("| system call | arguments | process | kept with | for |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < jail_parent_call_count; i++) {
        const struct jail_call *call = &jail_parent_calls[i];
        const char *with = (call->parts & JAIL_PARENT_FILES) != 0        ? "files that images name"
                           : (call->parts & JAIL_PARENT_NEW_OUTPUT) != 0 ? "a new output"
                           : (call->parts & JAIL_PARENT_OUTPUT) != 0     ? "an output"
                                                                         : "all";
        printf("| `%s` | ", call->name);
        arguments_print(call);
        printf(" | %s | %s | %s |\n", processes[call->threads], with, call->reason);
    }
    return EXIT_SUCCESS;
}

static int list_print(uint32_t parts)
{
    for (unsigned int role = 0; role < JAIL_ROLE_COUNT; role++) {
        for (size_t i = 0; i < jail_call_count; i++) {
            if (jail_call_is_kept(&jail_calls[i], parts, role)) {
                printf("%s %s\n", roles[role], jail_calls[i].name);
            }
        }
    }
    return 0;
}

/* The first row of the table for this call, from `index` on; NULL when there is none. Some calls have several. */
static const struct jail_call *call_find(uint32_t parts, enum jail_role role, long number, size_t index)
{
    for (size_t i = index; i < jail_call_count; i++) {
        if (jail_calls[i].number == number && jail_call_is_kept(&jail_calls[i], parts, role)) {
            return &jail_calls[i];
        }
    }
    return NULL;
}

/* Numbers that are no descriptor, no address and no process: nothing happens even where the kernel takes them. */
static struct probe probe_make(long number)
{
    struct probe probe = {.number = number};
    for (unsigned int i = 0; i < PROBE_ARGUMENT_COUNT; i++) {
        probe.arguments[i] = -1;
    }
    return probe;
}

/*
 * The kernel lets uretprobe and uprobe pass by every filter (kernel/seccomp.c): its own trampolines make them, in
 * programs that an administrator probes. From elsewhere they end the process by SIGILL.
 */
static bool passes_every_filter(long number)
{
    return number == 335 || number == 336;
}

/* A thread of a process of these parts. */
struct shape {
    uint32_t parts;
    enum jail_role role;
};

static bool expect(const struct shape *shape, const struct probe *probe, const char *what, enum probe_outcome expected)
{
    enum probe_outcome outcome = probe_run(shape->parts, shape->role, probe);
    if (outcome == expected) {
        return true;
    }
    printf("system call %ld (thread: %s), %s: %s, not %s\n", probe->number, roles[shape->role], what,
           probe_outcome_name(outcome), probe_outcome_name(expected));
    return false;
}

/* Of an argument, the values that are allowed: at most JAIL_VALUE_MAX. */
static unsigned int values_list(const struct jail_argument *argument, long ret_values[JAIL_VALUE_MAX])
{
    struct jail_config config = {.output_first = PROBE_OUTPUT_FIRST, .input_first = PROBE_INPUT_FIRST};
    struct jail_range range;
    if (jail_argument_range(argument, &config, &range)) {
        ret_values[0] = (long)range.end - 1;
        ret_values[1] = (long)range.first;
        return range.first > 0 ? 2 : 1; /* 0 may be a terminal: a read would wait */
    }
    for (unsigned int i = 0; i < argument->value_count; i++) {
        ret_values[i] = (long)argument->values[i];
    }
    return argument->value_count;
}

/* Values of a range's other side. All bits, which every argument is tried with, is in no list and no range. */
static bool borders_try(const struct shape *shape, struct probe *probe, const struct jail_argument *argument,
                        enum probe_outcome expected)
{
    struct jail_config config = {.output_first = PROBE_OUTPUT_FIRST, .input_first = PROBE_INPUT_FIRST};
    struct jail_range range;
    if (!jail_argument_range(argument, &config, &range)) {
        return true;
    }
    probe->arguments[argument->index] = (long)range.end;
    bool is_right = expect(shape, probe, "a descriptor above", expected);
    if (range.first > 0) {
        probe->arguments[argument->index] = (long)range.first - 1;
        is_right = expect(shape, probe, "a descriptor below", expected) && is_right;
    }
    probe->arguments[argument->index] = 0x100000000l + (long)range.first;
    return expect(shape, probe, "a descriptor with more than 32 bits", expected) && is_right;
}

static void probe_allow(struct probe *probe, const struct jail_call *call)
{
    for (unsigned int i = 0; i < JAIL_ARGUMENT_MAX && call->arguments[i] != NULL; i++) {
        const struct jail_argument *argument = call->arguments[i];
        long values[JAIL_VALUE_MAX] = {0};
        values_list(argument, values);
        probe->is_own_process[argument->index] = argument->kind == JAIL_ARGUMENT_OWN_PROCESS;
        probe->arguments[argument->index] = values[0];
    }
}

/* Whether another row allows the call, whatever its arguments: then nothing that this one does not list is forbidden.
 */
static bool has_open_row(const struct shape *shape, long number)
{
    for (const struct jail_call *call = call_find(shape->parts, shape->role, number, 0); call != NULL;
         call = call_find(shape->parts, shape->role, number, (size_t)(call - jail_calls) + 1)) {
        if (call->arguments[0] == NULL) {
            return true;
        }
    }
    return false;
}

/* A row's call passes with each value of each argument, and with no other. */
static bool row_try(const struct shape *shape, const struct jail_call *call)
{
    bool is_right = true;
    enum probe_outcome other = has_open_row(shape, call->number) ? PROBE_ALLOWED : PROBE_FORBIDDEN;
    bool has_several = call_find(shape->parts, shape->role, call->number, 0) != call ||
                       call_find(shape->parts, shape->role, call->number, (size_t)(call - jail_calls) + 1) != NULL;
    for (unsigned int i = 0; i < JAIL_ARGUMENT_MAX && call->arguments[i] != NULL; i++) {
        const struct jail_argument *argument = call->arguments[i];
        struct probe probe = probe_make(call->number);
        probe_allow(&probe, call);
        long values[JAIL_VALUE_MAX] = {0};
        unsigned int count = values_list(argument, values);
        for (unsigned int value = 0; value < count; value++) {
            probe.arguments[argument->index] = values[value];
            is_right = expect(shape, &probe, "listed arguments", PROBE_ALLOWED) && is_right;
        }
        probe.is_own_process[argument->index] = false;
        /* What one row does not list another one may. */
        if (!has_several || other == PROBE_ALLOWED) {
            probe.arguments[argument->index] = -1;
            bool is_all_bits = argument->mask == UINT32_MAX && argument->values[0] == UINT32_MAX;
            is_right = expect(shape, &probe, "all bits", is_all_bits ? PROBE_ALLOWED : other) && is_right;
            is_right = borders_try(shape, &probe, argument, other) && is_right;
        }
    }
    return is_right;
}

static bool number_try(const struct shape *shape, long number)
{
    struct probe probe = probe_make(number);
    const struct jail_call *call = call_find(shape->parts, shape->role, number, 0);
    bool is_right = true;
    if (call == NULL) {
        is_right = expect(shape, &probe, "which is not listed", PROBE_FORBIDDEN);
        memset(probe.arguments, 0, sizeof(probe.arguments));
        return expect(shape, &probe, "which is not listed, with zeros", PROBE_FORBIDDEN) && is_right;
    }
    for (; call != NULL; call = call_find(shape->parts, shape->role, number, (size_t)(call - jail_calls) + 1)) {
        is_right = (call->arguments[0] == NULL ? expect(shape, &probe, "which is listed", PROBE_ALLOWED)
                                               : row_try(shape, call)) &&
                   is_right;
    }
    return is_right;
}

static bool is_of_any_thread(uint32_t parts, long number)
{
    for (unsigned int role = 0; role < JAIL_ROLE_COUNT; role++) {
        if (call_find(parts, role, number, 0) != NULL) {
            return true;
        }
    }
    return false;
}

/* Numbers that no thread has are tried on one of them: all have the same program but for their lists. */
static int numbers_try(uint32_t parts)
{
    bool is_right = true;
    for (long number = 0; number < NUMBER_END; number++) {
        if (passes_every_filter(number)) {
            continue;
        }
        unsigned int role_count = is_of_any_thread(parts, number) ? JAIL_ROLE_COUNT : 1;
        for (unsigned int i = 0; i < role_count; i++) {
            /* A number's own thread, so that all three kinds have their share. */
            unsigned int role = role_count > 1 ? i : (unsigned int)number % JAIL_ROLE_COUNT;
            struct shape shape = {parts, role};
            is_right = number_try(&shape, number) && is_right;
        }
    }
    return is_right ? EXIT_SUCCESS : EXIT_FAILURE;
}

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void NO_RETURN cost_child(int fd)
{
    struct jail_config config = {.parts = JAIL_ENGINE_KVM | JAIL_BACKEND_REGULAR,
                                 .growth_len = 16777216,
                                 .output_first = PROBE_OUTPUT_FIRST,
                                 .input_first = PROBE_INPUT_FIRST};
    struct jail jail;
    struct error error = {0};
    double times[3] = {now_us()};
    bool is_closed = jail_enter(&jail, &config, &error);
    times[1] = now_us();
    is_closed = is_closed && jail_close(&jail, &error);
    times[2] = now_us();
    _exit(is_closed && write(fd, times, sizeof(times)) == (ssize_t)sizeof(times) ? 0 : 1);
}

static int numbers_compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static int cost_print(void)
{
    static const char *const steps[] = {"enter", "close", "together"};
    double costs[ARRAY_COUNT(steps)][COST_ROUNDS];
    int ends[2];
    if (pipe(ends) != 0) {
        return EXIT_FAILURE;
    }
    for (unsigned int round = 0; round < COST_ROUNDS; round++) {
        double times[3];
        if (fork() == 0) {
            cost_child(ends[1]);
        }
        int status;
        if (wait(&status) < 0 || status != 0 || read(ends[0], times, sizeof(times)) != (ssize_t)sizeof(times)) {
            return EXIT_FAILURE;
        }
        for (unsigned int i = 0; i < 2; i++) {
            costs[i][round] = times[i + 1] - times[i];
        }
        costs[2][round] = times[2] - times[0];
    }
    for (unsigned int i = 0; i < ARRAY_COUNT(steps); i++) {
        qsort(costs[i], COST_ROUNDS, sizeof(costs[i][0]), numbers_compare);
        printf("%s %.0f\n", steps[i], costs[i][COST_ROUNDS / 2]);
    }
    return EXIT_SUCCESS;
}

int main(int argument_count, char **arguments)
{
    uint32_t parts = 0;
    for (int i = 2; i < argument_count; i++) {
        uint32_t part = probe_part_parse(arguments[i]);
        if (part == 0) {
            fprintf(stderr, "probe: no part %s\n", arguments[i]);
            return 2;
        }
        parts |= part;
    }
    const char *command = argument_count > 1 ? arguments[1] : "";
    if (strcmp(command, "table") == 0) {
        return table_print();
    }
    if (strcmp(command, "parents") == 0) {
        return parents_print();
    }
    if (strcmp(command, "list") == 0) {
        return list_print(parts);
    }
    if (strcmp(command, "numbers") == 0) {
        return numbers_try(parts);
    }
    if (strcmp(command, "escapes") == 0) {
        return escapes_run(parts) ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    if (strcmp(command, "cost") == 0) {
        return cost_print();
    }
    fprintf(stderr, "usage: probe table|parents|list|numbers|escapes|cost [PART...]\n");
    return 2;
}
