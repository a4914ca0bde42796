/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `convert`, and what of them contradicts each other. */
#ifndef INSTAR_HOST_CLI_IMAGE_CONVERT_OPTIONS_H
#define INSTAR_HOST_CLI_IMAGE_CONVERT_OPTIONS_H

#include "host/cli/image/backing_choice.h"
#include "host/cli/image/job/command_job.h"
#include "host/cli/image/values/key_values.h"

/* Starts as zero. */
struct convert_options {
    struct key_values format_options; /* -o */
    const char *target_format;        /* -O; NULL: not given */
    struct backing_choice backing;    /* -B, -F */
    struct cache_mode target_cache;   /* -t */
    bool is_in_place;                 /* -n */
    bool wants_offload;               /* -C */
    bool has_sparse_len;              /* -S */
    bool has_snapshot;                /* -l */
    bool has_window;                  /* --deflate-window */
    bool uses_target_opts;
    bool wants_bitmaps;
    bool skips_broken_bitmaps;
};

/*
 * Takes all of them; the first operand is argv[optind] then. True, too, when there is only help to be printed. The
 * job's message gets what is the guest's to know.
 */
bool convert_options_take(struct convert_options *options, struct command_job *job, int argc, char **argv);

extern const char convert_help[];

#endif
