/* SPDX-License-Identifier: Apache-2.0 */
/* The edge of the programs: where errors are printed, once, and exit codes are made. */
#ifndef INSTAR_HOST_CLI_REPORT_H
#define INSTAR_HOST_CLI_REPORT_H

#include <stdbool.h>

#include "base/error.h"

/* All that a program of ours exits with, as long as no signal ends it. */
#define EXIT_OK 0
#define EXIT_ERROR 1

/* Prints "PROGRAM: PLACE: DETAIL" on standard error. Returns EXIT_ERROR. */
int report_error(const char *program, const struct error *error);

/*
 * In a job of a batch: where the kind of the error that is printed goes, the notice of a job without a virtual machine,
 * of REPORT_NOTICE_LEN bytes, which then is not printed, whether the output is written in place, and whether the job
 * has done all but to wait for the end of its machine, which is the case once it has closed standard output.
 */
void report_account(int *error_kind, char *notice, bool *is_in_place, bool *is_leaving);
/* The job writes to an output that is there, which others may write to at the same time. */
void report_note_in_place(void);
/* The job has succeeded, and closes standard output next. */
void report_note_leaving(void);
/* The job has passed a limit, and ends without an error that is printed. For handlers of signals, too. */
void report_note_limit(void);
/* For who prints an error by other means than report_error. */
void report_note_error(const struct error *error);

/* The notice of a job that runs without a virtual machine, and why; one line, not cut, with its end. */
#define REPORT_NOTICE_LEN 2048
/* The line that says that an output is written in place. */
char *report_in_place(char notice[REPORT_NOTICE_LEN], const char *program, const char *path, const char *reason);
char *report_without_kvm(char notice[REPORT_NOTICE_LEN], const char *program, const struct error *reason);

/* Closes standard output. Returns `exit_code`, or EXIT_ERROR after a message when not all of it was written. */
int report_output_end(const char *program, int exit_code);

/* Ends the process as the signal would have ended it, so that shells see an interrupted program. */
int report_interruption(int signal_number);

/*
 * Ends a program that has more rights than its caller (set-user-ID, file capabilities): it opens what its caller names.
 */
void report_rights_check(void);

/* The longest that report_child_text makes, with its end. */
#define REPORT_CHILD_TEXT_LEN 4096
/* A line that the machine's process has written to its standard error. */
char *report_child_text(char line[REPORT_CHILD_TEXT_LEN], const char *program, const char *text);

/*
 * First thing in main: makes sure that descriptors 0 to 2 are open. Otherwise a file of the job could get the
 * number of standard output, and text would be printed into an image.
 */
void report_streams_open(void);

#endif
