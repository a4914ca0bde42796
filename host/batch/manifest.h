/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line of a manifest: one job, as a JSON object. The manifest is the user's own, and trusted as a command line is;
 * the images that it names are not.
 *
 *   id       a name that no other job of the manifest has
 *   command  the command and its options, as a list of words
 *   inputs   images, put behind the options (optional)
 *   output   what is written, put behind them unless the command names it itself (optional); refused where one of the
 *            command's words is the same, but may be an option's value or an input
 *   limits   of this job: {"max-time": 60, "max-memory": "256M"}, by the names of the options (optional)
 *   accept   exit codes that are a good result (optional; [0])
 *   digest   whether the output's SHA-256 is wanted (optional)
 */
#ifndef INSTAR_HOST_BATCH_MANIFEST_H
#define INSTAR_HOST_BATCH_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define MANIFEST_ID_LEN_MAX 1024u
#define MANIFEST_WORDS_MAX 1024u
/* Of a fingerprint, hexadecimal, without the end. */
#define MANIFEST_FINGERPRINT_LEN 16u

struct batch_task {
    uint64_t line; /* from 1 */
    char *id;      /* NULL: the line has none */
    char **words;  /* the command's arguments, with a NULL behind them; [0] is its name */
    size_t word_count;
    char *output;  /* NULL: none */
    char **inputs; /* with a NULL behind them; of the words */
    size_t input_count;
    uint64_t accepted[4]; /* a bit for each exit code */
    bool wants_digest;
    bool makes_output; /* anew, all of it: a file that no other job may make as well */
    /* By what the job does: its words but for limits, inputs, output and good exit codes. Another one: another job. */
    char fingerprint[MANIFEST_FINGERPRINT_LEN + 1];
};

static inline bool batch_task_accepts(const struct batch_task *task, int exit_code)
{
    return exit_code >= 0 && exit_code < 256 && (task->accepted[exit_code / 64] >> (exit_code % 64) & 1) != 0;
}

/*
 * Reads a line. `options` are put before those of the command, behind the limits of the job: the last one of the same
 * name counts. On failure the task has what could be read of it, and is to be released, too.
 */
bool batch_task_parse(struct batch_task *ret_task, const char *text, size_t len, const char *const *options,
                      size_t option_count, struct error *error);
void batch_task_release(struct batch_task *task);

#endif
