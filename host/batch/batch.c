/* SPDX-License-Identifier: Apache-2.0 */
#include "host/batch/batch.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "host/batch/line_file.h"
#include "host/batch/manifest_source.h"
#include "host/batch/output_set.h"
#include "host/batch/worker_outcome.h"

/* After the second signal: so long do jobs have to end by themselves, which takes them milliseconds. */
#define STOP_GRACE_MS 5000u
/* A process, two pipes, a network. */
#define DESCRIPTORS_OF_WORKER 4u
/* The batch's own, and for a moment those that begin a job. */
#define DESCRIPTORS_BESIDE 64u

/* What something that is waited for is of a worker. The process last: what it has printed is taken before. */
enum polled_kind {
    POLLED_OUTPUT,
    POLLED_ERRORS,
    POLLED_PROCESS,
    POLLED_KIND_COUNT,
};

struct polled_place {
    struct worker *worker;
    enum polled_kind kind;
};

struct batch {
    const struct batch_plan *plan;
    const struct batch_observer *observer;
    struct batch_result *result;
    struct error *error;
    struct signals signals;
    struct worker_settings settings;
    struct manifest_source source;
    struct line_file manifest;
    bool has_manifest;
    bool is_at_end;    /* of the manifest */
    uint64_t job_line; /* lines that are not blank, so far */
    struct results results;
    struct id_set good;        /* done before */
    struct id_set seen;        /* ids of the manifest so far, of all shards */
    struct output_set outputs; /* the same of files that its jobs make */
    struct worker *workers;
    uint32_t worker_count;       /* made so far */
    uint32_t leaving_count;      /* of those whose job runs */
    struct pollfd *polled;       /* room for the signals and three of each worker's */
    struct polled_place *places; /* whose they are, but for the first */
    uint32_t signal_count;
    uint64_t kill_ms; /* when jobs are killed; UINT64_MAX: never */
    bool has_notice;
    bool has_put_off;
};

/* As many again for jobs that are leaving; where one is to run at a time, its result comes before the next one begins.
 */
static uint32_t worker_room(const struct batch_plan *plan)
{
    return plan->worker_count > 1 ? 2 * plan->worker_count : 1;
}

static uint64_t now_ms(void)
{
    return worker_now_ns() / 1000000;
}

static bool no_memory(struct batch *batch)
{
    return error_set(batch->error, ERROR_HOST, NULL, "out of memory");
}

/* Whether no job is to begin any more. */
static bool is_draining(const struct batch *batch)
{
    return batch->signal_count > 0 || batch->result->was_stopped || error_is_set(batch->error);
}

static void outcome_count(struct batch *batch, const struct batch_task *task, enum batch_outcome outcome,
                          const struct error *invalid)
{
    struct batch_progress *progress = &batch->result->progress;
    progress->counts[outcome]++;
    progress->good_count += outcome == BATCH_DONE;
    progress->bad_count += outcome != BATCH_DONE;
    if (batch->plan->failure_count_max > 0 && progress->bad_count >= batch->plan->failure_count_max) {
        batch->result->was_stopped = true;
    }
    if (batch->observer->ended != NULL) {
        batch->observer->ended(batch->observer->context, task, outcome, invalid);
    }
}

static bool is_output_of(const struct batch_task *task, int fd)
{
    struct stat output;
    struct stat file;
    return stat(task->output, &output) == 0 && S_ISREG(output.st_mode) && fstat(fd, &file) == 0 &&
           output.st_dev == file.st_dev && output.st_ino == file.st_ino;
}

/* What a job of this shard must not write to. */
static bool output_check(const struct batch *batch, const struct batch_task *task, struct error *error)
{
    if (task->output == NULL) {
        return true;
    }
    if (is_output_of(task, batch->source.fd)) {
        return error_set(error, ERROR_USAGE, NULL, "its output is the manifest");
    }
    return !is_output_of(task, batch->results.fd) ||
           error_set(error, ERROR_USAGE, NULL, "its output is the file of results");
}

/*
 * Jobs of other shards are read, too: of two that are the same the second one is none, whichever shard it is in. False
 * with *error set when it is, or without memory: then the batch has its error.
 */
static bool task_is_only_one(struct batch *batch, const struct batch_task *task, bool is_ours, struct error *error)
{
    bool is_new = true;
    if (id_set_has(&batch->seen, task->id)) {
        return error_set(error, ERROR_USAGE, NULL, "another job has this id");
    }
    if (task->makes_output && !output_set_add(&batch->outputs, task->output, is_ours, &is_new)) {
        return no_memory(batch);
    }
    if (!is_new) {
        return error_set(error, ERROR_USAGE, NULL, "another job makes this output");
    }
    return id_set_add(&batch->seen, task->id) || no_memory(batch);
}

static bool is_good(const struct batch *batch, const struct batch_task *task)
{
    char key[RESULTS_KEY_LEN];
    return id_set_has(&batch->good, results_key(key, task->fingerprint, task->id));
}

/* Reads a job into `task`. False for one of another shard, a line that is none, which is counted, and one that is done.
 */
static bool line_take(struct batch *batch, bool is_ours, struct batch_task *task)
{
    struct error problem = {0};
    const struct line_file *file = &batch->manifest;
    if (file->is_too_long) {
        error_fill(&problem, ERROR_USAGE, NULL, "the line is too long");
    } else {
        bool success = batch_task_parse(task, file->buffer, file->len, batch->plan->options, batch->plan->option_count,
                                        &problem) &&
                       task_is_only_one(batch, task, is_ours, &problem) &&
                       (!is_ours || output_check(batch, task, &problem));
        (void)success; /* the problem says it */
    }
    if (!is_ours || error_is_set(batch->error)) {
        return false;
    }
    task->line = file->number;
    task->wants_digest = (task->wants_digest || batch->plan->wants_digests) && task->output != NULL;
    if (!error_is_set(&problem) && is_good(batch, task)) {
        batch->result->progress.skipped_count++;
        return false;
    }
    if (error_is_set(&problem)) {
        bool success = results_add_invalid(&batch->results, task, &problem, batch->error);
        (void)success; /* batch->error says it */
        outcome_count(batch, task, BATCH_INVALID, &problem);
        return false;
    }
    return true;
}

/* The next job of this shard. False at the end of the manifest, or on an error, and when the batch is to end. */
static bool task_next(struct batch *batch, struct batch_task *task)
{
    while (!batch->is_at_end && !is_draining(batch)) { /* each round reads a line */
        if (!line_file_next(&batch->manifest, batch->error)) {
            batch->is_at_end = true;
            return false;
        }
        if (line_file_is_blank(&batch->manifest)) {
            continue;
        }
        bool is_ours = shard_has(&batch->plan->shard, batch->job_line++);
        if (line_take(batch, is_ours, task)) {
            return true;
        }
        batch_task_release(task);
    }
    return false;
}

/* Whether the job might come out otherwise when it is done again. */
static bool is_worth_a_retry(const struct batch *batch, const struct worker *worker, enum batch_outcome outcome)
{
    bool may_differ = outcome == BATCH_CRASHED || outcome == BATCH_LIMIT ||
                      (outcome == BATCH_FAILED && worker->account->error_kind != ERROR_USAGE);
    return may_differ && worker->attempt <= batch->plan->retry_count && !is_draining(batch);
}

static void notice_take(struct batch *batch, const struct worker *worker)
{
    if (!batch->has_notice && worker->account->notice[0] != '\0' && batch->observer->notice != NULL) {
        batch->has_notice = true;
        batch->observer->notice(batch->observer->context, worker->account->notice);
    }
}

static bool job_end(struct batch *batch, struct worker *worker, enum batch_outcome outcome)
{
    bool success = results_add(&batch->results, worker, outcome, batch->error);
    outcome_count(batch, &worker->task, outcome, NULL);
    worker_clear(worker);
    return success;
}

/* Where the system has no descriptors or processes for one more, it waits until another one has ended. */
static bool job_begin(struct batch *batch, struct worker *worker)
{
    struct batch_progress *progress = &batch->result->progress;
    struct error problem = {0};
    if (worker_start(worker, &batch->settings, &problem)) {
        progress->running_count++;
        return true;
    }
    if (progress->running_count == 0) {
        worker_fail(worker, &problem);
        return job_end(batch, worker, BATCH_FAILED);
    }
    worker->stage = WORKER_WAITS;
    if (!batch->has_put_off && batch->observer->put_off != NULL) {
        batch->has_put_off = true;
        batch->observer->put_off(batch->observer->context, progress, &problem);
    }
    return true;
}

/* The process of a worker has ended: what is next for it. */
static bool worker_go_on(struct batch *batch, struct worker *worker)
{
    struct batch_progress *progress = &batch->result->progress;
    progress->running_count--;
    batch->leaving_count -= worker->is_leaving;
    worker->is_leaving = false;
    worker_reap(worker);
    notice_take(batch, worker);
    enum batch_outcome outcome = outcome_find(worker, batch->signal_count > 1);
    if (worker->stage == WORKER_RUNS && outcome == BATCH_DONE && worker->task.wants_digest) {
        struct error problem = {0};
        if (worker_digest(worker, &batch->settings, &problem)) {
            progress->running_count++;
            return true;
        }
        capture_set(&worker->errors, problem.detail);
        outcome = BATCH_FAILED;
    }
    if (is_worth_a_retry(batch, worker, outcome)) {
        worker->stage = WORKER_WAITS;
        return true;
    }
    return job_end(batch, worker, outcome);
}

/* Beside those that only wait for the end of a machine, which takes the kernel a while and no processor. */
static bool has_room(const struct batch *batch)
{
    return batch->result->progress.running_count - batch->leaving_count < batch->plan->worker_count;
}

/* NULL: there is none, or an error. */
static struct worker *worker_find_free(struct batch *batch)
{
    for (uint32_t i = 0; i < batch->worker_count; i++) {
        if (batch->workers[i].stage == WORKER_FREE) {
            return &batch->workers[i];
        }
    }
    if (batch->worker_count == worker_room(batch->plan) ||
        !worker_init(&batch->workers[batch->worker_count], batch->error)) {
        return NULL;
    }
    return &batch->workers[batch->worker_count++];
}

/* Gives free workers jobs, when those that wait have begun. */
static bool workers_feed(struct batch *batch)
{
    uint32_t waiting_count = 0;
    for (uint32_t i = 0; i < batch->worker_count; i++) {
        struct worker *worker = &batch->workers[i];
        if (worker->stage == WORKER_WAITS && !is_draining(batch) && has_room(batch)) {
            RETURN_IF_FAILED(job_begin(batch, worker));
            waiting_count += worker->stage == WORKER_WAITS;
        }
    }
    while (waiting_count == 0 && has_room(batch)) { /* ends with the manifest */
        struct worker *worker = worker_find_free(batch);
        if (worker == NULL || !task_next(batch, &worker->task)) {
            break;
        }
        RETURN_IF_FAILED(job_begin(batch, worker));
        waiting_count += worker->stage == WORKER_WAITS;
    }
    return !error_is_set(batch->error);
}

static void workers_signal(const struct batch *batch, int number)
{
    for (uint32_t i = 0; i < batch->worker_count; i++) {
        worker_signal(&batch->workers[i], number);
    }
}

static void signal_take(struct batch *batch)
{
    int number = signals_take(&batch->signals);
    if (number == SIGNALS_PROGRESS && batch->observer->asked != NULL) {
        batch->observer->asked(batch->observer->context, &batch->result->progress);
    }
    if (number == 0 || number == SIGNALS_PROGRESS) {
        return;
    }
    batch->signal_count++;
    batch->result->progress.is_draining = true;
    if (batch->signal_count == 1) {
        batch->result->signal_number = number;
    } else if (batch->signal_count == 2) {
        workers_signal(batch, SIGTERM);
        batch->kill_ms = now_ms() + STOP_GRACE_MS;
    } else {
        batch->kill_ms = now_ms();
    }
    if (batch->observer->draining != NULL) {
        batch->observer->draining(batch->observer->context, &batch->result->progress, batch->signal_count);
    }
}

static int poll_timeout_ms(const struct batch *batch)
{
    uint64_t wait_ms = UINT64_MAX;
    if (batch->observer->idle != NULL && batch->observer->idle_interval_ms > 0) {
        wait_ms = batch->observer->idle_interval_ms;
    }
    if (batch->kill_ms != UINT64_MAX) {
        uint64_t now = now_ms();
        wait_ms = min_u64(wait_ms, batch->kill_ms - min_u64(now, batch->kill_ms));
    }
    return wait_ms == UINT64_MAX ? -1 : (int)wait_ms;
}

/* Lists what is waited for, and nothing else: where there may be few descriptors, poll takes few. Returns how much. */
static nfds_t polled_list(struct batch *batch)
{
    nfds_t count = 1;
    batch->polled[0] = (struct pollfd){.fd = batch->signals.fd, .events = POLLIN};
    for (uint32_t i = 0; i < batch->worker_count; i++) {
        struct worker *worker = &batch->workers[i];
        const int fds[POLLED_KIND_COUNT] = {
            [POLLED_OUTPUT] = worker->output.fd, [POLLED_ERRORS] = worker->errors.fd, [POLLED_PROCESS] = worker->pidfd};
        for (int kind = 0; kind < POLLED_KIND_COUNT; kind++) {
            if (fds[kind] >= 0) {
                batch->polled[count] = (struct pollfd){.fd = fds[kind], .events = POLLIN};
                batch->places[count++] = (struct polled_place){worker, (enum polled_kind)kind};
            }
        }
    }
    return count;
}

/* Not one that has more to do. */
static void leaving_note(struct batch *batch, struct worker *worker)
{
    bool is_leaving = worker->output.fd < 0 && worker->account->is_leaving && worker->stage == WORKER_RUNS &&
                      !worker->task.wants_digest;
    if (is_leaving && !worker->is_leaving) {
        worker->is_leaving = true;
        batch->leaving_count++;
    }
}

static bool place_take(struct batch *batch, const struct polled_place *place)
{
    if (place->kind == POLLED_PROCESS) {
        return worker_go_on(batch, place->worker);
    }
    capture_take(place->kind == POLLED_OUTPUT ? &place->worker->output : &place->worker->errors);
    leaving_note(batch, place->worker);
    return true;
}

/* Waits for something to happen, and takes it. */
static bool round_do(struct batch *batch)
{
    nfds_t count = polled_list(batch);
    if (poll(batch->polled, count, poll_timeout_ms(batch)) < 0) {
        return errno == EINTR || error_set(batch->error, ERROR_HOST, NULL, "cannot wait: %s", strerror(errno));
    }
    if (batch->polled[0].revents != 0) {
        signal_take(batch);
    }
    if (now_ms() >= batch->kill_ms) {
        workers_signal(batch, SIGKILL);
        batch->kill_ms = UINT64_MAX;
    }
    for (nfds_t i = 1; i < count; i++) {
        RETURN_IF_FAILED(batch->polled[i].revents == 0 || place_take(batch, &batch->places[i]));
    }
    return true;
}

/* What was to be tried once more, and is not any more, has come out as it did the last time. */
static void waiting_end(struct batch *batch)
{
    for (uint32_t i = 0; i < batch->worker_count && !error_is_set(batch->error); i++) {
        struct worker *worker = &batch->workers[i];
        if (worker->stage == WORKER_WAITS && worker->attempt > 0) {
            bool success = job_end(batch, worker, outcome_find(worker, batch->signal_count > 1));
            (void)success; /* batch->error says it */
        }
    }
}

/* Ends with the manifest's last job, with those that run where no other is to begin, or with an error. */
static void jobs_do(struct batch *batch)
{
    const struct batch_progress *progress = &batch->result->progress;
    bool success = workers_feed(batch);
    while (progress->running_count > 0 && success) {
        success = round_do(batch) && workers_feed(batch);
        if (batch->observer->idle != NULL) {
            batch->observer->idle(batch->observer->context, progress);
        }
    }
    waiting_end(batch);
    workers_signal(batch, SIGTERM); /* where results cannot be written any more */
}

/* A signal ends the wait for who writes the manifest. */
static bool wait_is_over(void *context)
{
    struct batch *batch = context;
    signal_take(batch);
    return batch->signal_count > 0;
}

/* Counts the jobs of this shard. */
static bool jobs_count(struct batch *batch)
{
    struct line_file file;
    uint64_t line = 0;
    RETURN_IF_FAILED(manifest_source_lines(&batch->source, &file, batch->error));
    while (line_file_next(&file, batch->error)) {
        if (!line_file_is_blank(&file)) {
            batch->result->progress.total_count += shard_has(&batch->plan->shard, line++);
        }
    }
    line_file_close(&file);
    return !error_is_set(batch->error);
}

/* Best effort: where there are fewer, fewer jobs run at a time. */
static void descriptors_make_room(uint32_t worker_count)
{
    uint64_t count = DESCRIPTORS_BESIDE + (uint64_t)worker_count * DESCRIPTORS_OF_WORKER;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < count) {
        limit.rlim_cur = min_u64(limit.rlim_max, count);
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool workers_make(struct batch *batch)
{
    uint32_t count = worker_room(batch->plan);
    descriptors_make_room(count);
    batch->workers = calloc(count, sizeof(*batch->workers));
    batch->polled = calloc(1 + (size_t)POLLED_KIND_COUNT * count, sizeof(*batch->polled));
    batch->places = calloc(1 + (size_t)POLLED_KIND_COUNT * count, sizeof(*batch->places));
    if (batch->workers == NULL || batch->polled == NULL || batch->places == NULL) {
        return no_memory(batch);
    }
    return true;
}

static bool files_open(struct batch *batch, const char *results_file)
{
    const struct batch_plan *plan = batch->plan;
    if (results_file == NULL) {
        return no_memory(batch);
    }
    const struct manifest_wait wait = {batch->signals.fd, wait_is_over, batch};
    RETURN_IF_FAILED(manifest_source_open(&batch->source, plan->manifest, &wait, batch->error));
    RETURN_IF_FAILED(jobs_count(batch));
    RETURN_IF_FAILED(manifest_source_lines(&batch->source, &batch->manifest, batch->error));
    batch->has_manifest = true;
    RETURN_IF_FAILED(
        results_open(&batch->results, results_file, &plan->shard, batch->source.fd, plan->resumes, batch->error));
    /* With the lock: before, another batch may still have added some. */
    return !plan->resumes || results_find_good(plan->results, &batch->good, &batch->result->torn_count, batch->error);
}

bool batch_run(const struct batch_plan *plan, const struct batch_observer *observer, struct batch_result *ret_result,
               struct error *error)
{
    *ret_result = (struct batch_result){0};
    struct batch batch = {
        .plan = plan,
        .observer = observer,
        .result = ret_result,
        .error = error,
        .source = {.fd = -1, .memory_fd = -1},
        .results.fd = -1,
        .kill_ms = UINT64_MAX,
    };
    batch.settings = (struct worker_settings){plan->command, &batch.signals, plan->output_len_max};
    RETURN_IF_FAILED(signals_hold(&batch.signals, error));
    char *results_file = results_path(plan->results, &plan->shard);
    if (files_open(&batch, results_file) && workers_make(&batch)) {
        jobs_do(&batch);
    }
    for (uint32_t i = 0; i < batch.worker_count; i++) {
        worker_release(&batch.workers[i]);
    }
    free(batch.workers);
    free(batch.polled);
    free(batch.places);
    if (batch.has_manifest) {
        line_file_close(&batch.manifest);
    }
    manifest_source_close(&batch.source);
    results_close(&batch.results);
    free(results_file);
    id_set_release(&batch.good);
    id_set_release(&batch.seen);
    output_set_release(&batch.outputs);
    signals_release(&batch.signals);
    return !error_is_set(error);
}
