/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/cli/escape.h"
#include "host/job/child/child_text.h"
#include "host/job/files/open_task.h"

/* More than any help text. */
#define OUTPUT_LEN (64 << 10)

static int *account_kind;
static char *account_notice;
static bool *account_is_in_place;
static bool *account_is_leaving;

void report_account(int *error_kind, char *notice, bool *is_in_place, bool *is_leaving)
{
    account_is_leaving = is_leaving;
    account_is_in_place = is_in_place;
    account_kind = error_kind;
    account_notice = notice;
}

void report_note_in_place(void)
{
    if (account_is_in_place != NULL) {
        *account_is_in_place = true;
    }
}

void report_note_leaving(void)
{
    if (account_is_leaving != NULL) {
        *account_is_leaving = true;
    }
}

void report_note_limit(void)
{
    if (account_kind != NULL) {
        *account_kind = (int)ERROR_LIMIT;
    }
}

void report_note_error(const struct error *error)
{
    if (account_kind != NULL) {
        *account_kind = (int)error->kind;
    }
}

char *report_without_kvm(char notice[REPORT_NOTICE_LEN], const char *program, const struct error *reason)
{
    char place[ESCAPED_LEN(ERROR_PLACE_LEN)];
    snprintf(notice, REPORT_NOTICE_LEN, "%s: running in a process instead of a virtual machine: %.900s: %s\n", program,
             escape_text(place, sizeof(place), reason->place), reason->detail);
    if (account_notice != NULL) {
        memcpy(account_notice, notice, REPORT_NOTICE_LEN);
        notice[0] = '\0';
    }
    return notice;
}

char *report_in_place(char notice[REPORT_NOTICE_LEN], const char *program, const char *path, const char *reason)
{
    char shown[ERROR_PLACE_LEN];
    char escaped[ESCAPED_LEN(ERROR_PLACE_LEN)];
    snprintf(shown, sizeof(shown), "%s", path);
    snprintf(notice, REPORT_NOTICE_LEN,
             "%s: %.900s: is written in place, as %s: what it contained is gone if the job fails\n", program,
             escape_text(escaped, sizeof(escaped), shown), reason);
    return notice;
}

int report_error(const char *program, const struct error *error)
{
    char place[ESCAPED_LEN(ERROR_PLACE_LEN)];
    char detail[ESCAPED_LEN(ERROR_DETAIL_LEN)];
    report_note_error(error);
    escape_text(place, sizeof(place), error->place);
    escape_text(detail, sizeof(detail), error->detail);
    fprintf(stderr, "%s: %s%s%s\n", program, place, place[0] != '\0' ? ": " : "", detail);
    return EXIT_ERROR;
}

/* A pipe whose reader has gone: who ignores SIGPIPE does so because that is no failure. */
static bool output_is_unread(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
    struct sigaction action;
    return sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_IGN && poll(&output, 1, 0) == 1 &&
           (output.revents & POLLERR) != 0;
}

int report_output_end(const char *program, int exit_code)
{
    bool has_failed = ferror(stdout) != 0;
    errno = 0;
    bool is_unread = output_is_unread();
    if ((fclose(stdout) == 0 && !has_failed) || is_unread) {
        return exit_code;
    }
    struct error error = {0};
    error_fill(&error, ERROR_IO, NULL, "cannot write to standard output%s%s", errno != 0 ? ": " : "",
               errno != 0 ? strerror(errno) : "");
    return report_error(program, &error);
}

int report_interruption(int signal_number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal_number);
    open_task_descriptors_close();
    signal(signal_number, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(signal_number);
    return 128 + signal_number;
}

void report_rights_check(void)
{
    if (getauxval(AT_SECURE) != 0) {
        static const char refusal[] = "instar: refuses to run with more rights than its caller has (set-user-ID, "
                                      "set-group-ID or capabilities of the file)\n";
        ssize_t ignored UNUSED = write(STDERR_FILENO, refusal, sizeof(refusal) - 1);
        _exit(EXIT_ERROR);
    }
}

char *report_child_text(char line[REPORT_CHILD_TEXT_LEN], const char *program, const char *text)
{
    char escaped[ESCAPED_LEN(CHILD_TEXT_LINE_MAX)];
    snprintf(line, REPORT_CHILD_TEXT_LEN, "%s: the machine's process: %s\n", program,
             escape_text(escaped, sizeof(escaped), text));
    return line;
}

/* What is printed at the end is written at the end: an error of writing then still has its reason. */
static void output_collect(void)
{
    static char buffer[OUTPUT_LEN];
    if (isatty(STDOUT_FILENO) == 0) {
        setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
    }
}

void report_streams_open(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            /* Opened the wrong way round: reading or writing fails as on a closed descriptor. Without /dev/null
             * a handle, which opens nothing, is as good. */
            int opened = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
            opened = opened < 0 ? open("/", O_PATH) : opened;
            if (opened != fd) {
                abort(); /* the lowest free number is given out */
            }
        }
    }
    output_collect();
}
