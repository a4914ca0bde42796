/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/machine_options.h"

#include <string.h>

#include "host/cli/options.h"

void machine_options_init(struct machine_options *options)
{
    *options = (struct machine_options){
        .job =
            {
                .input = {.sector_len = JOB_SECTOR_LEN_MIN},
                .output = {.sector_len = JOB_SECTOR_LEN_MIN},
                .backend = BACKEND_REGULAR,
                .use_ioeventfd = true,
                .vcpu_count = 1,
            },
    };
}

static bool statistics_take(struct machine_options *options, const char *value, struct error *error)
{
    options->job.want_statistics = true;
    options->statistics_format = STATISTICS_HUMAN;
    if (value != NULL && !statistics_format_parse(value, &options->statistics_format)) {
        return error_set(error, ERROR_USAGE, "--stats", "%s is not one of human, json, prometheus", value);
    }
    return true;
}

bool machine_options_take(struct machine_options *options, int code, const char *value, struct error *error)
{
    struct job *job = &options->job;
    switch (code) {
    case OPTION_HELP:
        options->want_help = true;
        return true;
    case OPTION_VERSION:
        options->want_version = true;
        return true;
    case OPTION_VCPUS:
        return option_number_parse("--vcpus", value, 1, LAYOUT_VCPU_MAX, &job->vcpu_count, error);
    case OPTION_QUEUE_DEPTH:
        return option_number_parse("--queue-depth", value, 1, JOB_QUEUE_DEPTH_MAX, &job->queue_depth, error);
    case OPTION_NO_IOEVENTFD:
        job->use_ioeventfd = false;
        return true;
    case OPTION_TIMEOUT:
        return option_number_parse("--timeout", value, 1, UINT32_MAX, &job->limits.time_s, error);
    case OPTION_SYNC:
        job->sync = true;
        return true;
    case OPTION_STATS:
        return statistics_take(options, value, error);
    default:
        job->want_debug = true; /* OPTION_DEBUG */
        return true;
    }
}

bool machine_options_take_backend(struct machine_options *options, enum backend_kind kind, const char *name,
                                  struct error *error)
{
    if (options->backend_option != NULL && options->job.backend != kind) {
        return error_set(error, ERROR_USAGE, name, "cannot be combined with %s", options->backend_option);
    }
    options->job.backend = kind;
    options->backend_option = name;
    return true;
}
