/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/jail/jail_probe.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/jail/jail.h"
#include "host/jail/jail_report.h"

#define GROWTH_LEN (16ull * 1024 * 1024)
#define EXIT_DONE 0
#define EXIT_NOT_ENTERED 99
/* A call that waits, such as pause, is one that was allowed. */
#define PATIENCE_S 2

static const struct {
    const char *name;
    uint32_t part;
} parts_by_name[] = {
    {"kvm", JAIL_ENGINE_KVM},
    {"process", JAIL_ENGINE_PROCESS},
    {"regular", JAIL_BACKEND_REGULAR},
    {"direct", JAIL_BACKEND_DIRECT},
    {"mmap", JAIL_BACKEND_MMAP},
    {"io-uring", JAIL_BACKEND_IO_URING},
    {"memory", JAIL_BACKEND_MEMORY},
    {"late", JAIL_LATE_FILES},
    {"statistics", JAIL_STATISTICS},
    {"copies", JAIL_COPIES},
    {"resizable", JAIL_RESIZABLE_OUTPUT},
    {"min-free", JAIL_MIN_FREE},
    {"daemons", JAIL_DAEMONS},
    {"sockets", JAIL_SOCKETS},
    {"vcpu-files", JAIL_VCPU_FILES},
};

uint32_t probe_part_parse(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(parts_by_name); i++) {
        if (strcmp(parts_by_name[i].name, name) == 0) {
            return parts_by_name[i].part;
        }
    }
    return 0;
}

const char *probe_outcome_name(enum probe_outcome outcome)
{
    static const char *const names[] = {
        [PROBE_ALLOWED] = "allowed",       [PROBE_FORBIDDEN] = "forbidden",     [PROBE_KILLED] = "killed at once",
        [PROBE_UNREPORTED] = "unreported", [PROBE_NOT_ENTERED] = "not entered",
    };
    return names[outcome];
}

/* What the second thread needs to know. */
struct attempt {
    pthread_barrier_t arrived;
    pthread_barrier_t jailed;
    struct jail jail;
    enum jail_role role;
    const struct probe *probe;
    void (*code)(void);
};

/* Only the first thread may end the process; another one leaves that to it, by a signal. */
static void NO_RETURN attempt_end(const struct attempt *attempt)
{
    if (attempt->role == JAIL_ROLE_FIRST) {
        _exit(EXIT_DONE);
    }
    for (;;) {
        syscall(SYS_tgkill, getpid(), getpid(), SIGTERM);
    }
}

static void NO_RETURN attempt_make(const struct attempt *attempt)
{
    if (attempt->code != NULL) {
        attempt->code();
    } else {
        long arguments[PROBE_ARGUMENT_COUNT];
        for (unsigned int i = 0; i < PROBE_ARGUMENT_COUNT; i++) {
            arguments[i] = attempt->probe->is_own_process[i] ? getpid() : attempt->probe->arguments[i];
        }
        syscall(attempt->probe->number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
                arguments[5]);
    }
    attempt_end(attempt);
}

static void jail_step(bool succeeded, const struct error *error)
{
    if (!succeeded) {
        fprintf(stderr, "probe: %s\n", error->detail);
        _exit(EXIT_NOT_ENTERED);
    }
}

static void *attempt_thread(void *argument)
{
    struct attempt *attempt = argument;
    struct error error = {0};
    jail_step(jail_confine(&attempt->jail, attempt->role, &error), &error);
    pthread_barrier_wait(&attempt->arrived);
    pthread_barrier_wait(&attempt->jailed);
    attempt_make(attempt);
}

static void NO_RETURN inmate(uint32_t parts, struct attempt *attempt, int report_fd)
{
    struct jail_config config = {
        .parts = parts,
        .growth_len = GROWTH_LEN,
        .output_first = PROBE_OUTPUT_FIRST,
        .input_first = PROBE_INPUT_FIRST,
    };
    struct error error = {0};
    bool on_thread = attempt->role != JAIL_ROLE_FIRST;
    alarm(PATIENCE_S);
    jail_step(jail_report_watch(report_fd, &error), &error);
    jail_step(jail_enter(&attempt->jail, &config, &error), &error);
    if (on_thread) {
        pthread_t thread;
        pthread_barrier_init(&attempt->arrived, NULL, 2);
        pthread_barrier_init(&attempt->jailed, NULL, 2);
        jail_step(pthread_create(&thread, NULL, attempt_thread, attempt) == 0, &error);
        pthread_barrier_wait(&attempt->arrived);
    }
    jail_step(jail_close(&attempt->jail, &error), &error);
    if (on_thread) {
        pthread_barrier_wait(&attempt->jailed);
        for (;;) { /* until the thread ends the process */
            pthread_barrier_wait(&attempt->jailed);
        }
    }
    attempt_make(attempt);
}

static enum probe_outcome outcome_of(int status, const struct jail_report *report, long number)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NOT_ENTERED) {
        return PROBE_NOT_ENTERED;
    }
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) {
        return PROBE_ALLOWED;
    }
    int reported = jail_report_number(report);
    if (reported < 0) {
        return PROBE_KILLED;
    }
    return number < 0 || reported == number ? PROBE_FORBIDDEN : PROBE_UNREPORTED;
}

static enum probe_outcome attempt_run(uint32_t parts, struct attempt *attempt, long number)
{
    struct error error = {0};
    int report_fd;
    struct jail_report *report = jail_report_make(&report_fd, &error);
    if (report == NULL) {
        return PROBE_NOT_ENTERED;
    }
    pid_t pid = fork();
    if (pid == 0) {
        inmate(parts, attempt, report_fd);
    }
    close(report_fd);
    int status = 0;
    enum probe_outcome outcome = PROBE_NOT_ENTERED;
    if (pid > 0 && waitpid(pid, &status, 0) == pid) {
        outcome = outcome_of(status, report, number);
    }
    jail_report_free(report);
    return outcome;
}

enum probe_outcome probe_run(uint32_t parts, enum jail_role role, const struct probe *probe)
{
    struct attempt attempt = {.probe = probe, .role = role};
    return attempt_run(parts, &attempt, probe->number);
}

enum probe_outcome probe_run_code(uint32_t parts, void (*code)(void))
{
    struct attempt attempt = {.code = code, .role = JAIL_ROLE_FIRST};
    return attempt_run(parts, &attempt, -1);
}
