/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail, from inside (tests/commands/jail.py runs this; it is never installed):
 *   probe table              the table of system calls, as docs/security.md shows it
 *   probe list PART...       the system calls that a process of these parts keeps
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
#include "tests/jail/escapes.h"
#include "tests/jail/probe.h"

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
    {JAIL_RESIZABLE_OUTPUT, "resizable output"},
    {JAIL_DAEMONS, "daemons"},
    {JAIL_SOCKETS, "sockets"},
    {JAIL_STATISTICS, "`--stats`"},
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

static int table_print(void)
{
    printf("| system call | arguments | kept with | for |\n|---|---|---|---|\n");
    for (size_t i = 0; i < jail_call_count; i++) {
        const struct jail_call *call = &jail_calls[i];
        if (call->parts == JAIL_SANITIZER) {
            continue;
        }
        printf("| `%s` | %s | ", call->name, call->argument != NULL ? call->argument->text : "any");
        parts_print(call->parts);
        printf(" | %s |\n", call->reason);
    }
    return EXIT_SUCCESS;
}

static int list_print(uint32_t parts)
{
    for (size_t i = 0; i < jail_call_count; i++) {
        if (jail_call_is_kept(&jail_calls[i], parts)) {
            printf("%s\n", jail_calls[i].name);
        }
    }
    return 0;
}

/* The first row of the table for this call, from `index` on; NULL when there is none. Some calls have several. */
static const struct jail_call *call_find(uint32_t parts, long number, size_t index)
{
    for (size_t i = index; i < jail_call_count; i++) {
        if (jail_calls[i].number == number && jail_call_is_kept(&jail_calls[i], parts)) {
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

static bool expect(uint32_t parts, const struct probe *probe, const char *what, enum probe_outcome expected)
{
    enum probe_outcome outcome = probe_run(parts, probe, false);
    if (outcome == expected) {
        return true;
    }
    printf("system call %ld, %s: %s, not %s\n", probe->number, what, probe_outcome_name(outcome),
           probe_outcome_name(expected));
    return false;
}

/* A kept call passes with each value of its argument, and with no other. */
static bool argument_try(uint32_t parts, struct probe *probe, const struct jail_argument *argument)
{
    bool is_right = true;
    /* -1 has all bits; no list of values has that. */
    is_right = expect(parts, probe, "any argument", PROBE_FORBIDDEN) && is_right;
    if (argument->is_own_process) {
        probe->is_own_process[argument->index] = true;
        return expect(parts, probe, "its own process", PROBE_ALLOWED) && is_right;
    }
    for (unsigned int i = 0; i < argument->value_count; i++) {
        probe->arguments[argument->index] = (long)argument->values[i];
        is_right = expect(parts, probe, "a listed argument", PROBE_ALLOWED) && is_right;
    }
    return is_right;
}

static int numbers_try(uint32_t parts)
{
    bool is_right = true;
    for (long number = 0; number < NUMBER_END; number++) {
        if (passes_every_filter(number)) {
            continue;
        }
        struct probe probe = probe_make(number);
        const struct jail_call *call = call_find(parts, number, 0);
        if (call == NULL) {
            is_right = expect(parts, &probe, "which is not listed", PROBE_FORBIDDEN) && is_right;
            memset(probe.arguments, 0, sizeof(probe.arguments));
            is_right = expect(parts, &probe, "which is not listed, with zeros", PROBE_FORBIDDEN) && is_right;
        } else if (call->argument != NULL) {
            for (; call != NULL; call = call_find(parts, number, (size_t)(call - jail_calls) + 1)) {
                probe = probe_make(number);
                is_right = argument_try(parts, &probe, call->argument) && is_right;
            }
        } else {
            is_right = expect(parts, &probe, "which is listed", PROBE_ALLOWED) && is_right;
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
    struct jail_config config = {.parts = JAIL_ENGINE_KVM | JAIL_BACKEND_REGULAR, .growth_len = 16777216};
    struct jail jail;
    struct error error = {0};
    double times[4] = {now_us()};
    bool is_closed = jail_enter(&jail, &config, &error);
    times[1] = now_us();
    is_closed = is_closed && jail_prepare(&jail, &error);
    times[2] = now_us();
    is_closed = is_closed && jail_close(&jail, &error);
    times[3] = now_us();
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
    static const char *const steps[] = {"enter", "prepare", "close", "together"};
    double costs[ARRAY_COUNT(steps)][COST_ROUNDS];
    int ends[2];
    if (pipe(ends) != 0) {
        return EXIT_FAILURE;
    }
    for (unsigned int round = 0; round < COST_ROUNDS; round++) {
        double times[4];
        if (fork() == 0) {
            cost_child(ends[1]);
        }
        int status;
        if (wait(&status) < 0 || status != 0 || read(ends[0], times, sizeof(times)) != (ssize_t)sizeof(times)) {
            return EXIT_FAILURE;
        }
        for (unsigned int i = 0; i < 3; i++) {
            costs[i][round] = times[i + 1] - times[i];
        }
        costs[3][round] = times[3] - times[0];
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
    fprintf(stderr, "usage: probe table|list|numbers|escapes|cost [PART...]\n");
    return 2;
}
