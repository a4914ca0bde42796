/* SPDX-License-Identifier: Apache-2.0 */
/* `batch`: a list of jobs, or a shard of it. Schedulers run it on many hosts. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/number_text.h"
#include "host/batch/batch.h"
#include "host/batch/passphrase.h"
#include "host/batch/submit.h"
#include "host/cli/batch_progress.h"
#include "host/cli/batch_report.h"
#include "host/cli/command.h"
#include "host/cli/escape.h"
#include "host/cli/options.h"
#include "host/cli/output_console.h"
#include "host/cli/processor_count.h"
#include "host/cli/report.h"

#define JOB_OPTIONS_MAX 256u
/* A year. */
#define SHARD_TIME_MAX_S 31536000u
/* What is kept of what a job prints, of each stream, when the user has not said. */
#define OUTPUT_LEN_DEFAULT ((size_t)1 << 20)
/* Two streams and a result of both fit a line (LINE_LEN_MAX), even with each byte escaped. */
#define OUTPUT_LEN_MAX ((size_t)1 << 20)

_Static_assert(BATCH_NOTICE_LEN >= REPORT_NOTICE_LEN, "a notice fits an account");

enum {
    OPTION_SHARD = 256,
    OPTION_SHARDS,
    OPTION_RESULTS,
    OPTION_RESUME,
    OPTION_RETRIES,
    OPTION_STOP_AFTER_FAILURES,
    OPTION_DIGEST,
    OPTION_KEEP_OUTPUT,
    OPTION_TOLERANT,
    OPTION_REPORT,
    OPTION_SUBMIT,
    OPTION_DRY_RUN,
    OPTION_IMAGE,
    OPTION_CLAIM,
    OPTION_SHARD_TIME,
    OPTION_SHARD_MEMORY,
    OPTION_JOB_LIMIT, /* one that is given to each job */
    OPTION_BATCH_HELP,
    OPTION_BATCH_VERSION,
};

static const struct option batch_options[] = {
    {"jobs", required_argument, NULL, 'j'},
    {"quiet", no_argument, NULL, 'q'},
    {"shard", required_argument, NULL, OPTION_SHARD},
    {"shards", required_argument, NULL, OPTION_SHARDS},
    {"results", required_argument, NULL, OPTION_RESULTS},
    {"resume", no_argument, NULL, OPTION_RESUME},
    {"retries", required_argument, NULL, OPTION_RETRIES},
    {"stop-after-failures", required_argument, NULL, OPTION_STOP_AFTER_FAILURES},
    {"digest", no_argument, NULL, OPTION_DIGEST},
    {"keep-output", required_argument, NULL, OPTION_KEEP_OUTPUT},
    {"tolerant", no_argument, NULL, OPTION_TOLERANT},
    {"report", optional_argument, NULL, OPTION_REPORT},
    {"submit", required_argument, NULL, OPTION_SUBMIT},
    {"dry-run", no_argument, NULL, OPTION_DRY_RUN},
    {"image", required_argument, NULL, OPTION_IMAGE},
    {"claim", required_argument, NULL, OPTION_CLAIM},
    {"shard-time", required_argument, NULL, OPTION_SHARD_TIME},
    {"shard-memory", required_argument, NULL, OPTION_SHARD_MEMORY},
    {"max-time", required_argument, NULL, OPTION_JOB_LIMIT},
    {"max-cpu", required_argument, NULL, OPTION_JOB_LIMIT},
    {"max-memory", required_argument, NULL, OPTION_JOB_LIMIT},
    {"max-output", required_argument, NULL, OPTION_JOB_LIMIT},
    {"help", no_argument, NULL, OPTION_BATCH_HELP},
    {"version", no_argument, NULL, OPTION_BATCH_VERSION},
    {NULL, 0, NULL, 0},
};

static const char batch_help[] =
    "Usage: instar batch [OPTION]... MANIFEST [-- OPTION-OF-EACH-JOB...]\n"
    "Do the jobs of MANIFEST (-: standard input), or a share of them. A line of it is\n"
    "a job, as JSON:\n"
    "\n"
    "  {\"id\": \"a\", \"command\": [\"convert\", \"-O\", \"qcow2\"], \"inputs\": [\"a.vmdk\"],\n"
    "   \"output\": \"a.qcow2\"}\n"
    "\n"
    "and may have \"limits\": {\"max-time\": 60}, \"accept\": [0, 3] (good exit codes) and\n"
    "\"digest\": true. A line of result is added to MANIFEST.results for each job.\n"
    "\n"
    "Options:\n"
    "  -j, --jobs N             do N jobs at a time (default: as many as processors)\n"
    "  --shard I/N              do the Ith of N shares; results are added to\n"
    "                           MANIFEST.results.I-of-N\n"
    "  --shards N               there are N shares; SLURM_ARRAY_TASK_ID,\n"
    "                           JOB_COMPLETION_INDEX or PARALLEL_SEQ say which one\n"
    "                           this is\n"
    "  --results FILE           add results to FILE (or FILE.I-of-N)\n"
    "  --resume                 do what has no good result yet, in any share's\n"
    "                           results, or whose output has changed since\n"
    "  --retries N              do a job that failed, but not one that was refused,\n"
    "                           up to N times more\n"
    "  --stop-after-failures N  begin no job any more after N that failed\n"
    "  --digest                 results have the SHA-256 of outputs\n"
    "  --keep-output BYTES      keep so much of what a job prints (default and most:\n"
    "                           1M)\n"
    "  --tolerant               exit with 0 also when jobs have failed, as long as\n"
    "                           each has a result\n"
    "  -q, --quiet              print no summary, and no progress\n"
    "  --report[=FORMAT]        do nothing, but tell what came out in all shares:\n"
    "                           text (default), json or svg\n"
    "  --submit=SCHEDULER       have the shares done by slurm, parallel or\n"
    "                           kubernetes: write MANIFEST.SCHEDULER, and submit it\n"
    "  --dry-run                with --submit: print it instead\n"
    "  --shard-time S           with --submit: a share may take S seconds\n"
    "  --shard-memory BYTES     with --submit: so much memory is a share's\n"
    "  --image NAME             kubernetes: the container's image\n"
    "  --claim NAME             kubernetes: the claim of the volume at /images\n"
    "  --help                   show this text\n"
    "  --version                show the version\n"
    "\n"
    "For each job, unless it says otherwise:\n"
    "  --max-time S             end it after S seconds\n"
    "  --max-cpu S              end it when it has computed for S seconds\n"
    "  --max-memory BYTES       give its guest no more memory for data than this\n"
    "  --max-output BYTES       end it when it writes more to its outputs\n"
    "\n"
    "SIGTERM and SIGINT: jobs that run come to their end, and no other begins; sent\n"
    "once more, they end the jobs.\n";

/* Of a name, as it is shown. */
#define SHOWN_NAME_LEN ESCAPED_LEN(4096)

struct batch_command {
    struct batch_plan plan;
    const char *shard_text;
    uint32_t shard_count;
    const char *job_options[JOB_OPTIONS_MAX];
    char *limit_texts[JOB_OPTIONS_MAX]; /* those of them that are ours to free */
    size_t limit_count;
    char *results; /* the default name */
    bool is_quiet;
    bool is_tolerant;
    bool wants_report;
    enum batch_report_format report_format;
    bool wants_submission;
    bool is_dry_run;
    struct submit_plan submission;
    bool want_help;
    bool want_version;
    struct console console;
    struct batch_progress_line line;
    struct batch_result result;
    struct error error;
};

static int job_command(struct batch_account *account, int argc, char **argv)
{
    struct error error = {0};
    report_account(&account->error_kind, account->notice, &account->is_in_place, &account->is_leaving);
    const struct command *command = command_find(argv[0]);
    if (command == NULL || command->run == command_batch) {
        error_fill(&error, ERROR_USAGE, argv[0], command == NULL ? "unknown command" : "cannot be a job of a batch");
        return report_error(PROGRAM_NAME, &error);
    }
    optind = 0; /* getopt starts anew */
    return command->run(argc, argv);
}

static bool job_option_add(struct batch_command *batch, const char *text)
{
    size_t count = batch->plan.option_count;
    if (count == JOB_OPTIONS_MAX) {
        return error_set(&batch->error, ERROR_USAGE, NULL, "more than %u options for each job", JOB_OPTIONS_MAX);
    }
    if (text[passphrase_off(text, count > 0 ? batch->job_options[count - 1] : NULL)] != '\0') {
        return error_set(&batch->error, ERROR_USAGE, "--object",
                         "an option of each job stays where others see it: with file= a passphrase does not");
    }
    batch->job_options[batch->plan.option_count++] = text;
    return true;
}

static bool limit_add(struct batch_command *batch, const char *name, const char *value)
{
    char *text = NULL;
    if (asprintf(&text, "--%s=%s", name, value) < 0) {
        return error_set(&batch->error, ERROR_HOST, NULL, "out of memory");
    }
    if (!job_option_add(batch, text)) {
        free(text);
        return false;
    }
    batch->limit_texts[batch->limit_count++] = text;
    return true;
}

/* Which of the four it was: getopt tells the code only. */
static const char *limit_name(char **argv)
{
    static const char *const names[] = {"max-time", "max-cpu", "max-memory", "max-output"};
    for (int back = 1; back <= 2 && optind - back > 0; back++) {
        for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
            size_t len = strlen(names[i]);
            const char *argument = argv[optind - back];
            if (strncmp(argument, "--", 2) == 0 && strncmp(&argument[2], names[i], len) == 0 &&
                (argument[2 + len] == '\0' || argument[2 + len] == '=')) {
                return names[i];
            }
        }
    }
    return NULL;
}

static bool size_option_take(struct batch_command *batch, const char *text)
{
    uint64_t len;
    if (!size_parse(text, &len) || len > OUTPUT_LEN_MAX) {
        return error_set(&batch->error, ERROR_USAGE, "--keep-output", "%.100s is not a size up to 1M", text);
    }
    batch->plan.output_len_max = (size_t)len;
    return true;
}

static bool shard_memory_take(struct batch_command *batch, const char *text)
{
    uint64_t *len = &batch->submission.memory_len;
    return (size_parse(text, len) && *len > 0 && *len <= INT64_MAX) ||
           error_set(&batch->error, ERROR_USAGE, "--shard-memory", "%.100s is not a size", text);
}

static bool failures_take(struct batch_command *batch, const char *text)
{
    return (number_parse(text, &batch->plan.failure_count_max) && batch->plan.failure_count_max > 0) ||
           error_set(&batch->error, ERROR_USAGE, "--stop-after-failures", "%.100s is not a number from 1", text);
}

static bool report_take(struct batch_command *batch, const char *text)
{
    static const char *const names[] = {
        [BATCH_REPORT_TEXT] = "text", [BATCH_REPORT_JSON] = "json", [BATCH_REPORT_SVG] = "svg"};
    batch->wants_report = true;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (text == NULL || strcmp(text, names[i]) == 0) {
            batch->report_format = (enum batch_report_format)i;
            return true;
        }
    }
    return error_set(&batch->error, ERROR_USAGE, "--report", "%.100s is not one of text, json, svg", text);
}

static bool submit_take(struct batch_command *batch, const char *text)
{
    batch->wants_submission = true;
    for (int engine = 0; engine < SUBMIT_ENGINE_COUNT; engine++) {
        if (strcmp(text, submit_engine_name((enum submit_engine)engine)) == 0) {
            batch->submission.engine = (enum submit_engine)engine;
            return true;
        }
    }
    return error_set(&batch->error, ERROR_USAGE, "--submit", "%.100s is not one of slurm, parallel, kubernetes", text);
}

static bool option_take(struct batch_command *batch, int code, char **argv)
{
    struct batch_plan *plan = &batch->plan;
    struct error *error = &batch->error;
    switch (code) {
    case 'j':
        return option_number_parse("--jobs", optarg, 1, BATCH_WORKERS_MAX, &plan->worker_count, error);
    case 'q':
        batch->is_quiet = true;
        return true;
    case OPTION_SHARD:
        batch->shard_text = optarg;
        return true;
    case OPTION_SHARDS:
        return option_number_parse("--shards", optarg, 1, SHARD_COUNT_MAX, &batch->shard_count, error);
    case OPTION_RESULTS:
        plan->results = optarg;
        return true;
    case OPTION_RESUME:
        plan->resumes = true;
        return true;
    case OPTION_RETRIES:
        return option_number_parse("--retries", optarg, 0, 1000, &plan->retry_count, error);
    case OPTION_STOP_AFTER_FAILURES:
        return failures_take(batch, optarg);
    case OPTION_DIGEST:
        plan->wants_digests = true;
        return true;
    case OPTION_KEEP_OUTPUT:
        return size_option_take(batch, optarg);
    case OPTION_TOLERANT:
        batch->is_tolerant = true;
        return true;
    case OPTION_REPORT:
        return report_take(batch, optarg);
    case OPTION_SUBMIT:
        return submit_take(batch, optarg);
    case OPTION_DRY_RUN:
        batch->is_dry_run = true;
        return true;
    case OPTION_IMAGE:
        batch->submission.image = optarg;
        return true;
    case OPTION_CLAIM:
        batch->submission.claim = optarg;
        return true;
    case OPTION_SHARD_TIME:
        return option_number_parse("--shard-time", optarg, 1, SHARD_TIME_MAX_S, &batch->submission.time_s, error);
    case OPTION_SHARD_MEMORY:
        return shard_memory_take(batch, optarg);
    case OPTION_JOB_LIMIT: {
        const char *name = limit_name(argv);
        return name != NULL ? limit_add(batch, name, optarg)
                            : error_set(error, ERROR_USAGE, NULL, "write out the names of limits");
    }
    case OPTION_BATCH_HELP:
    case 'h':
        batch->want_help = true;
        return true;
    case OPTION_BATCH_VERSION:
        batch->want_version = true;
        return true;
    default:
        return false; /* the error is set */
    }
}

/* What is behind "--" is for the jobs. Returns how many arguments are ours. */
static int job_options_split(struct batch_command *batch, int argc, char **argv)
{
    int end = 1;
    while (end < argc && strcmp(argv[end], "--") != 0) {
        end++;
    }
    for (int i = end + 1; i < argc; i++) {
        if (!job_option_add(batch, argv[i])) {
            break;
        }
    }
    return end;
}

static bool shard_choose(struct batch_command *batch)
{
    struct batch_plan *plan = &batch->plan;
    if (batch->shard_text == NULL) {
        return shard_from_environment(batch->shard_count, &plan->shard, &batch->error);
    }
    return shard_parse(batch->shard_text, "--shard", &plan->shard, &batch->error) &&
           (batch->shard_count == 0 || batch->shard_count == plan->shard.count ||
            error_set(&batch->error, ERROR_USAGE, "--shard", "has another number of shares than --shards"));
}

static bool operands_take(struct batch_command *batch, int argc, char **argv)
{
    struct batch_plan *plan = &batch->plan;
    if (argc - optind != 1) {
        return error_set(&batch->error, ERROR_USAGE, "batch",
                         "wants one manifest; options for each job stand behind --");
    }
    plan->manifest = argv[optind];
    if (plan->results == NULL && strcmp(plan->manifest, "-") == 0) {
        return error_set(&batch->error, ERROR_USAGE, "--results", "is needed where the manifest is standard input");
    }
    if (plan->results == NULL) {
        if (asprintf(&batch->results, "%s.results", plan->manifest) < 0) {
            batch->results = NULL;
            return error_set(&batch->error, ERROR_HOST, NULL, "out of memory");
        }
        plan->results = batch->results;
    }
    return batch->wants_report || batch->wants_submission || shard_choose(batch);
}

static bool arguments_take(struct batch_command *batch, int argc, char **argv)
{
    int code;
    argc = job_options_split(batch, argc, argv);
    RETURN_IF_FAILED(!error_is_set(&batch->error));
    while ((code = options_next(argc, argv, ":hj:q", batch_options, &batch->error)) != OPTIONS_END) {
        RETURN_IF_FAILED(option_take(batch, code, argv));
    }
    return batch->want_help || batch->want_version || operands_take(batch, argc, argv);
}

static void notice_print(void *context, const char *line)
{
    struct batch_command *batch = context;
    batch_progress_clear(&batch->line);
    console_print(&batch->console, "%s", line);
    console_flush(&batch->console);
}

static void put_off(void *context, const struct batch_progress *progress, const struct error *problem)
{
    struct batch_command *batch = context;
    batch_progress_clear(&batch->line);
    console_print(&batch->console, "%s: %" PRIu32 " jobs at a time, and no more: %s\n", PROGRAM_NAME,
                  progress->running_count, problem->detail);
    console_flush(&batch->console);
}

static void ended(void *context, const struct batch_task *task, enum batch_outcome outcome, const struct error *invalid)
{
    struct batch_command *batch = context;
    /* Not on the stack: pages of that are copied after each fork, and this is called for each job. */
    static char detail[ESCAPED_LEN(ERROR_DETAIL_LEN)];
    static char name[SHOWN_NAME_LEN];
    if (outcome == BATCH_INVALID) {
        batch_progress_clear(&batch->line);
        console_print(&batch->console, "%s: %s:%" PRIu64 ": %s\n", PROGRAM_NAME,
                      escape_text(name, sizeof(name), batch->plan.manifest), task->line,
                      escape_text(detail, sizeof(detail), invalid->detail));
        console_flush(&batch->console);
    }
}

static void draining(void *context, const struct batch_progress *progress, uint32_t signal_count)
{
    struct batch_command *batch = context;
    batch_progress_clear(&batch->line);
    if (signal_count == 1) {
        console_print(&batch->console, "%s: no other job begins, %" PRIu32 " come to their end; once more ends them\n",
                      PROGRAM_NAME, progress->running_count);
    } else {
        console_print(&batch->console, "%s: %" PRIu32 " jobs are ended\n", PROGRAM_NAME, progress->running_count);
    }
    console_flush(&batch->console);
}

static void idle(void *context, const struct batch_progress *progress)
{
    struct batch_command *batch = context;
    batch_progress_draw(&batch->line, progress);
}

/* A line of its own, as programs read it. */
static void asked(void *context, const struct batch_progress *progress)
{
    struct batch_command *batch = context;
    char text[PROGRESS_LINE_LEN];
    double seconds = (double)(worker_now_ns() - batch->line.start_ns) / 1e9;
    batch_progress_format(text, PROGRESS_LINE_LEN, progress, seconds);
    batch_progress_clear(&batch->line);
    console_print(&batch->console, "%s\n", text);
    console_flush(&batch->console);
}

static bool plan_run(struct batch_command *batch)
{
    struct batch_plan *plan = &batch->plan;
    bool has_terminal = !batch->is_quiet && isatty(STDERR_FILENO) != 0;
    struct batch_observer observer = {
        .context = batch,
        .notice = notice_print,
        .put_off = put_off,
        .ended = ended,
        .draining = draining,
        .idle = has_terminal ? idle : NULL,
        .asked = asked,
        .idle_interval_ms = BATCH_PROGRESS_INTERVAL_MS,
    };
    if (plan->worker_count == 0) {
        plan->worker_count = processor_count_jobs(BATCH_WORKERS_MAX, "");
    }
    plan->options = batch->job_options;
    plan->command = job_command;
    console_init(&batch->console, STDERR_FILENO);
    batch_progress_init(&batch->line, has_terminal ? &batch->console : NULL);
    bool success = batch_run(plan, &observer, &batch->result, &batch->error);
    batch_progress_clear(&batch->line);
    if (batch->result.torn_count > 0) {
        char name[SHOWN_NAME_LEN];
        console_print(&batch->console, "%s: %s: %" PRIu64 " lines that are no results were passed over\n", PROGRAM_NAME,
                      escape_text(name, sizeof(name), plan->results), batch->result.torn_count);
        console_flush(&batch->console);
    }
    return success;
}

static bool report_run(struct batch_command *batch)
{
    struct report report = {0};
    bool success = report_read(&report, batch->plan.manifest, batch->plan.results, &batch->error) &&
                   batch_report_print(&report, batch->report_format, stdout, &batch->error);
    report_release(&report);
    return success;
}

/* What each shard is to run: this program, with the options that say how. */
static bool submission_run(struct batch_command *batch)
{
    const struct batch_plan *plan = &batch->plan;
    struct submit_plan *submission = &batch->submission;
    char numbers[4][24];
    static char program[4096]; /* nodes have it at the same place */
    const char *words[32 + JOB_OPTIONS_MAX];
    size_t count = 0;
    submission->shard_count = batch->shard_count;
    submission->worker_count = plan->worker_count > 0 ? plan->worker_count : 1;
    submission->manifest = plan->manifest;
    if (batch->shard_count == 0 || strcmp(plan->manifest, "-") == 0) {
        return error_set(&batch->error, ERROR_USAGE, "--submit", "wants --shards, and a manifest that all hosts see");
    }
    if (readlink("/proc/self/exe", program, sizeof(program) - 1) <= 0) {
        snprintf(program, sizeof(program), "%s", PROGRAM_NAME);
    }
    snprintf(numbers[0], sizeof(numbers[0]), "%" PRIu32, submission->worker_count);
    snprintf(numbers[1], sizeof(numbers[1]), "%" PRIu32, plan->retry_count);
    snprintf(numbers[2], sizeof(numbers[2]), "%" PRIu64, plan->failure_count_max);
    snprintf(numbers[3], sizeof(numbers[3]), "%zu", plan->output_len_max);
    const char *const all[] = {program,    "batch",     "--quiet",    "--resume", "--tolerant",
                               "--jobs",   numbers[0],  "--retries",  numbers[1], "--keep-output",
                               numbers[3], "--results", plan->results};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        words[count++] = all[i];
    }
    if (plan->failure_count_max > 0) {
        words[count++] = "--stop-after-failures";
        words[count++] = numbers[2];
    }
    if (plan->wants_digests) {
        words[count++] = "--digest";
    }
    words[count++] = plan->manifest;
    if (plan->option_count > 0) {
        words[count++] = "--";
    }
    for (size_t i = 0; i < plan->option_count; i++) {
        words[count++] = batch->job_options[i];
    }
    submission->words = words;
    submission->word_count = count;
    if (batch->is_dry_run) {
        return submit_write(submission, stdout, &batch->error);
    }
    submit_run(submission, &batch->error);
    return false;
}

static int batch_end(struct batch_command *batch)
{
    const struct batch_result *result = &batch->result;
    int exit_code = EXIT_OK;
    if (error_is_set(&batch->error)) {
        exit_code = report_error(PROGRAM_NAME, &batch->error);
    } else if (batch->want_help || batch->want_version) {
        printf("%s", batch->want_help ? batch_help : "instar " INSTAR_VERSION "\n");
    } else if (!batch->is_quiet && !batch->wants_report && !batch->wants_submission) {
        batch_summary_print(result);
    }
    const uint64_t *counts = result->progress.counts;
    const struct batch_progress *progress = &result->progress;
    bool has_failed = batch->is_tolerant ? counts[BATCH_INTERRUPTED] > 0 : progress->bad_count > 0;
    bool has_left = progress->good_count + progress->bad_count + progress->skipped_count < progress->total_count;
    if (has_failed || has_left || result->was_stopped) {
        exit_code = EXIT_ERROR;
    }
    for (size_t i = 0; i < batch->limit_count; i++) {
        free(batch->limit_texts[i]);
    }
    free(batch->results);
    exit_code = report_output_end(PROGRAM_NAME, exit_code);
    return result->signal_number != 0 ? report_interruption(result->signal_number) : exit_code;
}

int command_batch(int argc, char **argv)
{
    static struct batch_command batch;
    batch.plan.output_len_max = OUTPUT_LEN_DEFAULT;
    bool success = arguments_take(&batch, argc, argv);
    if (success && !batch.want_help && !batch.want_version) {
        success = batch.wants_report       ? report_run(&batch)
                  : batch.wants_submission ? submission_run(&batch)
                                           : plan_run(&batch);
    }
    (void)success; /* batch.error says it */
    return batch_end(&batch);
}
