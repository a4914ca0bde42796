/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs with children that do all that a child can do: child_run of host/job/child/child.c is replaced. The jobs copy
 * the file "input" to "output".
 */
#ifndef INSTAR_TEST_JOB_RUN_SUPPORT_H
#define INSTAR_TEST_JOB_RUN_SUPPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "host/job/channel.h"
#include "host/job/child/child.h"
#include "host/job/job.h"

#define RUN_CONTENT "what is copied"

/* What a child has: the first input and, if there is one, the first file behind it. When it returns, the writer is
 * flushed and the process exits with 0. */
struct fake_child {
    struct channel_writer *writer;
    const struct child_image *input;
    const struct child_image *output;
    const struct child_ties *ties;
};

void send_init(struct channel_writer *writer);
void send_progress(struct channel_writer *writer, uint64_t sectors);
/* Without success, the error is about "input". */
void send_complete(struct channel_writer *writer, bool success);
void send_end(struct channel_writer *writer, bool success, enum error_kind kind, const char *detail);
void copy_content(const struct fake_child *child);
/* Does all that a child should. */
void copy_well(const struct fake_child *child);

/* Of the last run_job. */
/* What the next job's child finds here, too: nothing else of the test's memory is left in it. */
struct run_note {
    uint32_t number;
    char text[32];
};
extern struct run_note run_note;

extern struct job_result run_result;
extern struct error run_error;

bool run_job(void (*behaviour)(const struct fake_child *child), const struct job_observer *observer,
             uint32_t timeout_s);

/* The job of run_job, for changes; and running it. Its images are the test's. */
struct job run_job_default(void);
bool run_job_with(const struct job *job, void (*behaviour)(const struct fake_child *child),
                  const struct job_observer *observer);

/* Any message, for which there is no function above. */
void send_message(struct channel_writer *writer, const instar_GuestMessage *message);

/* For cmocka's setup and teardown. Jobs that succeed do not wait for their child: the teardown does, by releasing the
 * result. A program that runs jobs begins with child_enter. */
int run_enter(void **state);
int run_leave(void **state);

/* Fails the test unless the job failed so, and left nothing but its input. */
void assert_run_failed(bool success, enum error_kind kind, const char *detail);

#endif
