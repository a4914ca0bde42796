/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/machine_options.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/cli/options.h"
#include "host/cli/reach.h"

/* The default for --sandbox; the test suite runs on both engines by it. */
#define SANDBOX_VARIABLE "INSTAR_SANDBOX"
/* A processor of that level of x86-64 for the guest, and no better one: for tests of what depends on one's features. */
#define PROCESSOR_LEVEL_VARIABLE "INSTAR_PROCESSOR_LEVEL"

void machine_options_init(struct machine_options *options)
{
    *options = (struct machine_options){
        .job =
            {
                .output = {.sector_len = JOB_SECTOR_LEN_MIN},
                .use_ioeventfd = true,
                .vcpu_count = 1,
            },
        .backend = BACKEND_REGULAR,
    };
    for (unsigned int i = 0; i < JOB_INPUT_MAX; i++) {
        options->job.inputs[i].sector_len = JOB_SECTOR_LEN_MIN;
    }
}

void machine_options_release(struct machine_options *options)
{
    backing_names_release(&options->names);
    job_outputs_release(&options->job.further_outputs);
    policy_release(&options->policy);
    options->job.policy = NULL;
}

/* What is looked at before the configuration is read has the time limit of the command line. */
static bool limit_heed(const struct machine_options *options)
{
    if (options->limits.is_given[LIMIT_TIME]) {
        reach_limit((uint32_t)options->limits.values[LIMIT_TIME]);
    }
    return true;
}

static bool limit_option_take(struct machine_options *options, int code, const char *value, struct error *error)
{
    static const char *const names[LIMIT_COUNT] = {"--max-time",  "--max-cpu",  "--max-output", "--max-memory",
                                                   "--max-exits", "--min-free", "--max-lines"};
    int limit = code - OPTION_MAX_TIME;
    return limit_take(&options->limits, (enum limit)limit, names[limit], value, error) && limit_heed(options);
}

static bool backing_dir_take(struct machine_options *options, const char *value, struct error *error)
{
    if (value[0] == '\0') {
        return error_set(error, ERROR_USAGE, "--backing-dir", "the name of the directory is empty");
    }
    return backing_names_add(&options->names, false, value, NULL, error);
}

static bool backing_take(struct machine_options *options, const char *value, struct error *error)
{
    options->has_backing = true;
    return backing_parse(value, "--backing", &options->allows_beside, error);
}

static bool backing_file_take(struct machine_options *options, const char *value, struct error *error)
{
    if (value[0] == '\0') {
        return error_set(error, ERROR_USAGE, "--backing-file", "the name of the file is empty");
    }
    return backing_names_add(&options->names, true, value, NULL, error);
}

static bool configuration_path_take(struct machine_options *options, const char *value, struct error *error)
{
    if (value[0] == '\0') {
        return error_set(error, ERROR_USAGE, "--config", "the name of the file is empty");
    }
    options->configuration_path = value;
    return true;
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
    case 'h':
    case OPTION_HELP:
        options->want_help = true;
        return true;
    case OPTION_VERSION:
        options->want_version = true;
        return true;
    case OPTION_VCPUS:
        return option_number_parse("--vcpus", value, 1, LAYOUT_VCPU_MAX, &job->vcpu_count, error);
    case OPTION_QUEUE_DEPTH:
        return option_number_parse("--queue-depth", value, 1, JOB_QUEUE_DEPTH_MAX, &options->copy.queue_depth, error);
    case OPTION_NO_IOEVENTFD:
        job->use_ioeventfd = false;
        return true;
    case OPTION_MAX_TIME:
    case OPTION_MAX_CPU:
    case OPTION_MAX_OUTPUT:
    case OPTION_MAX_MEMORY:
    case OPTION_MAX_EXITS:
    case OPTION_MIN_FREE:
    case OPTION_MAX_LINES:
        return limit_option_take(options, code, value, error);
    case OPTION_TIMEOUT:
        return limit_take(&options->limits, LIMIT_TIME, "--timeout", value, error) && limit_heed(options);
    case OPTION_BACKING:
        return backing_take(options, value, error);
    case OPTION_BACKING_FILE:
        return backing_file_take(options, value, error);
    case OPTION_BACKING_DIR:
        return backing_dir_take(options, value, error);
    case OPTION_NO_BACKING:
        options->no_backing = true;
        return true;
    case OPTION_SANDBOX:
        options->has_sandbox = true;
        return sandbox_parse(value, "--sandbox", &job->sandbox, error);
    case OPTION_RUN_AS:
        options->has_user = true;
        return run_as_parse(value, "--run-as", &job->user, error);
    case OPTION_CONFIG:
        return configuration_path_take(options, value, error);
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
    if (options->backend_option != NULL && options->backend != kind) {
        if (strcmp(name, options->backend_option) == 0) {
            return error_set(error, ERROR_USAGE, name, "is given twice, with different values");
        }
        return error_set(error, ERROR_USAGE, name, "cannot be combined with %s", options->backend_option);
    }
    options->backend = kind;
    options->backend_option = name;
    return true;
}

/* A contradiction is no question of which one comes first: the user expects one of the two, and we don't know which. */
static bool backing_check(const struct machine_options *options, struct error *error)
{
    const char *other = NULL;
    if (options->names.count > options->names.file_count) {
        other = "--backing-dir";
    } else if (options->names.file_count > 0) {
        other = "--backing-file";
    } else if (options->has_backing && options->allows_beside) {
        other = "--backing=beside";
    }
    return !options->no_backing || other == NULL ||
           error_set(error, ERROR_USAGE, other, "cannot be combined with --no-backing");
}

static bool sandbox_choose(struct machine_options *options, const struct configuration *configuration,
                           struct error *error)
{
    if (options->has_sandbox) {
        return true;
    }
    const char *value = getenv(SANDBOX_VARIABLE);
    if (value != NULL && value[0] != '\0') {
        return sandbox_parse(value, SANDBOX_VARIABLE, &options->job.sandbox, error);
    }
    options->job.sandbox = configuration->sandbox;
    return true;
}

/* For others than root there is no choice. The file is for all users of a system. */
static bool user_choose(struct machine_options *options, const struct configuration *configuration, struct error *error)
{
    struct job_user *user = &options->job.user;
    if (geteuid() != 0) {
        bool is_other = options->has_user && (user->is_set ? user->uid != geteuid() : true);
        user->is_set = false;
        return !is_other ||
               error_set(error, ERROR_USAGE, "--run-as", "only root can run the machine's process as another user");
    }
    if (!options->has_user) {
        *user = configuration->has_user ? configuration->user : run_as_default();
    }
    return true;
}

static bool processor_level_choose(struct machine_options *options, struct error *error)
{
    const char *value = getenv(PROCESSOR_LEVEL_VARIABLE);
    return value == NULL || value[0] == '\0' ||
           option_number_parse(PROCESSOR_LEVEL_VARIABLE, value, 1, JOB_PROCESSOR_LEVEL_MAX,
                               &options->job.processor_level, error);
}

/* The configuration, and what its names and those of the command line lead to: done where it may wait. */
struct reading {
    struct machine_options *options;
    struct configuration configuration;
    struct error *error;
};

static bool named_configuration_read(void *context)
{
    struct reading *reading = context;
    return configuration_read(reading->options->configuration_path, true, &reading->configuration,
                              &reading->options->names, reading->error);
}

static bool names_open(void *context)
{
    struct reading *reading = context;
    return backing_names_open(&reading->options->names, &reading->options->policy, reading->error);
}

/* The default one is root's, or the user's own, and a regular file: it makes nobody wait. */
static bool configuration_take(struct reading *reading)
{
    struct machine_options *options = reading->options;
    if (options->configuration_path != NULL) {
        return reach_do(named_configuration_read, reading, reading->error);
    }
    return configuration_read(CONFIGURATION_PATH, false, &reading->configuration, &options->names, reading->error);
}

bool machine_options_complete(struct machine_options *options, enum job_kind kind, struct error *error)
{
    struct reading reading = {.options = options, .error = error};
    struct configuration *configuration = &reading.configuration;
    options->own_file_count = options->names.file_count;
    RETURN_IF_FAILED(backing_check(options, error));
    RETURN_IF_FAILED(configuration_take(&reading));
    options->job.limits = configuration_limits(configuration, kind, &options->limits);
    reach_limit(options->job.limits.time_s);
    RETURN_IF_FAILED(options->names.count == 0 || reach_do(names_open, &reading, error));
    RETURN_IF_FAILED(sandbox_choose(options, configuration, error));
    RETURN_IF_FAILED(user_choose(options, configuration, error));
    RETURN_IF_FAILED(processor_level_choose(options, error));
    options->policy.no_backing = options->no_backing;
    options->policy.allows_beside = options->has_backing ? options->allows_beside : configuration->allows_beside;
    options->commits = configuration->commits;
    options->job.policy = &options->policy;
    if (options->job.want_statistics) {
        statistics_prepare(options->statistics_format);
    }
    return true;
}
