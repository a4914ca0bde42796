/* SPDX-License-Identifier: Apache-2.0 */
/* What `map` says of an image, run by run, as the guest reports them: nothing is collected. */
#ifndef INSTAR_HOST_CLI_IMAGE_PRINT_MAP_PRINT_H
#define INSTAR_HOST_CLI_IMAGE_PRINT_MAP_PRINT_H

#include "host/cli/line_budget.h"
#include "host/cli/output_console.h"
#include "host/job/job.h"
#include "messages.pb.h"

/* Of an image that is a part of its file: QEMU counts a raw image from the file's start, and shows any other image's
 * file by another name. */
struct map_file {
    uint64_t start_off;
    const char *name; /* NULL: the file's own */
};

struct map_print {
    struct console *console;
    const struct job_result *result; /* has the devices */
    const struct job_limits *limits; /* complete when the first run comes */
    bool is_json;
    bool has_begun;                        /* something was printed */
    bool is_at_end;                        /* an empty run was there, which stands for nothing and alone */
    uint64_t next_off;                     /* where the next run starts */
    struct map_file inputs[JOB_INPUT_MAX]; /* of the first devices */
    struct line_budget lines;
};

void map_print_init(struct map_print *print, struct console *console, const struct job_result *result,
                    const struct job_limits *limits, bool is_json, uint64_t start_off);

/*
 * Checks the runs, which are a guest's, and prints them. Fails, too, on what the human form cannot show, and on more
 * lines than the job's limits let through.
 */
bool map_print_take(struct map_print *print, const instar_MapMessage *message, struct error *error);

/* After the last run. */
bool map_print_end(struct map_print *print, struct error *error);

#endif
