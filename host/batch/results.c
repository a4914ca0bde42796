/* SPDX-License-Identifier: Apache-2.0 */
#include "host/batch/results.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/checked.h"
#include "host/batch/digest.h"
#include "host/batch/result_files.h"
#include "host/job/files/named_file.h"

#define LINE_ROOM_FIRST ((size_t)16 << 10)

static const char *const outcome_names[BATCH_OUTCOME_COUNT] = {
    [BATCH_DONE] = "done",       [BATCH_REFUSED] = "refused", [BATCH_FAILED] = "failed",
    [BATCH_LIMIT] = "limit",     [BATCH_CRASHED] = "crashed", [BATCH_INTERRUPTED] = "interrupted",
    [BATCH_INVALID] = "invalid",
};

const char *batch_outcome_name(enum batch_outcome outcome)
{
    return outcome_names[outcome];
}

enum batch_outcome batch_outcome_find(const char *name)
{
    int outcome = 0;
    while (outcome < BATCH_OUTCOME_COUNT && strcmp(name, outcome_names[outcome]) != 0) {
        outcome++;
    }
    return (enum batch_outcome)outcome;
}

char *results_path(const char *base, const struct shard *shard)
{
    char *path = NULL;
    int len = shard->count > 1 ? asprintf(&path, "%s.%" PRIu32 "-of-%" PRIu32, base, shard->number, shard->count)
                               : asprintf(&path, "%s", base);
    return len >= 0 ? path : NULL;
}

static bool line_write(const struct results *results, const char *text, size_t len, struct error *error)
{
    ssize_t done;
    while ((done = write(results->fd, text, len)) < 0 && errno == EINTR) {
    }
    if (done == (ssize_t)len) {
        return true;
    }
    return error_set(error, ERROR_IO, results->path, "cannot write: %s",
                     done < 0 ? strerror(errno) : "there is no more space");
}

/* Another process may append to a file that is not its own, where the file system knows no locks. */
static bool lock_take(const struct results *results, struct error *error)
{
    if (flock(results->fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) {
        return true;
    }
    return error_set(error, ERROR_IN_USE, results->path, "another process writes its results there");
}

static bool torn_line_end(const struct results *results, uint64_t len, struct error *error)
{
    char last;
    if (len == 0 || (pread(results->fd, &last, 1, (off64_t)len - 1) == 1 && last == '\n')) {
        return true;
    }
    return line_write(results, "\n", 1, error);
}

static bool is_manifest(const struct stat *results, int manifest_fd)
{
    struct stat manifest;
    return S_ISREG(results->st_mode) && fstat(manifest_fd, &manifest) == 0 && manifest.st_dev == results->st_dev &&
           manifest.st_ino == results->st_ino;
}

/* A line begins with a brace, also one that was torn. What has something else was named by mistake. */
static bool begins_as_results(const struct results *results, uint64_t len)
{
    char first;
    return len == 0 || pread(results->fd, &first, 1, 0) != 1 || first == '{' || first == '\n';
}

bool results_open(struct results *ret_results, const char *path, const struct shard *shard, int manifest_fd,
                  bool may_exist, struct error *error)
{
    struct results results = {.path = path, .fd = -1, .shard = shard};
    struct stat status;
    gethostname(results.host, sizeof(results.host) - 1);
    RETURN_IF_FAILED(named_file_append(path, &results.fd, error));
    if (fstat(results.fd, &status) != 0) {
        error_fill(error, ERROR_IO, path, "cannot examine: %s", strerror(errno));
    } else if (is_manifest(&status, manifest_fd)) {
        error_fill(error, ERROR_USAGE, path, "is the manifest: results go to another file (--results)");
    } else if (!may_exist && status.st_size > 0) {
        error_fill(error, ERROR_USAGE, path, "has results: go on with --resume, or choose another file (--results)");
    } else if (!begins_as_results(&results, (uint64_t)status.st_size)) {
        error_fill(error, ERROR_USAGE, path, "has something else than results: choose another file (--results)");
    } else if (lock_take(&results, error) && torn_line_end(&results, (uint64_t)status.st_size, error)) {
        *ret_results = results;
        return true;
    }
    if (results.fd >= 0) {
        close(results.fd);
    }
    return false;
}

void results_close(struct results *results)
{
    if (results->fd >= 0) {
        close(results->fd);
        results->fd = -1;
    }
    free(results->line);
    results->line = NULL;
    results->line_room = 0;
}

static void set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)min_u64(value, INT64_MAX));
}

/* What is printed is text that the job has made safe, but names of files may be any bytes. */
static json_t *text_json(const char *text, size_t len)
{
    json_t *value = json_stringn(text != NULL ? text : "", len);
    if (value != NULL) {
        return value;
    }
    char *clean = malloc(len + 1);
    for (size_t i = 0; clean != NULL && i < len; i++) {
        clean[i] = (unsigned char)text[i] < 0x80 && text[i] != '\0' ? text[i] : '?';
    }
    value = clean != NULL ? json_stringn(clean, len) : json_null();
    free(clean);
    return value;
}

/* What the command has printed: as JSON, where it is that. */
static void output_set(json_t *line, const struct worker *worker)
{
    const struct capture *output = &worker->output;
    bool may_be_json = output->len > 0 && !output->is_cut && strchr("{[", output->text[0]) != NULL;
    json_t *result = may_be_json ? json_loadb(output->text, output->len, 0, NULL) : NULL;
    if (result != NULL) {
        set(line, "result", result);
    } else if (output->len > 0) {
        set(line, "stdout", text_json(output->text, output->len));
    }
    if (worker->errors.len > 0) {
        set(line, "stderr", text_json(worker->errors.text, worker->errors.len));
    }
    if (output->is_cut || worker->errors.is_cut) {
        set(line, "cut", json_true());
    }
}

static uint64_t input_len(const struct batch_task *task)
{
    uint64_t total_len = 0;
    struct stat status;
    for (size_t i = 0; i < task->input_count; i++) {
        if (stat(task->inputs[i], &status) == 0 && S_ISREG(status.st_mode)) {
            total_len += (uint64_t)status.st_size;
        }
    }
    return total_len;
}

static void written_set(json_t *line, const struct worker *worker)
{
    struct stat status;
    char text[DIGEST_TEXT_LEN];
    if (worker->task.output == NULL || stat(worker->task.output, &status) != 0) {
        return;
    }
    json_t *output = json_object();
    set(output, "path", json_string(worker->task.output));
    if (worker->account->is_in_place) {
        set(output, "in-place", json_true());
    }
    set(output, "length", number((uint64_t)status.st_size));
    set(output, "allocated", number((uint64_t)status.st_blocks * 512)); /* stat(2): units of 512 bytes */
    set(output, "modified-ns", number((uint64_t)status.st_mtim.tv_sec * 1000000000 + (uint64_t)status.st_mtim.tv_nsec));
    if (worker->stage == WORKER_DIGESTS) {
        set(output, "sha256", json_string(digest_format(text, worker->account->digest)));
    }
    set(line, "output", output);
}

/* The text of the line, with its end, in results->line. 0: out of memory. */
static size_t line_format(struct results *results, const json_t *line)
{
    static const size_t flags = JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(12);
    size_t len = json_dumpb(line, results->line, results->line_room, flags);
    if (len > 0 && len >= results->line_room) {
        size_t room = max_u64(2 * len, LINE_ROOM_FIRST);
        char *grown = realloc(results->line, room);
        if (grown == NULL) {
            return 0;
        }
        results->line = grown;
        results->line_room = room;
        len = json_dumpb(line, results->line, room, flags);
    }
    if (len > 0) {
        results->line[len++] = '\n';
    }
    return len;
}

static bool line_add(struct results *results, json_t *line, struct error *error)
{
    size_t len = line_format(results, line);
    json_decref(line);
    return len > 0 ? line_write(results, results->line, len, error)
                   : error_set(error, ERROR_HOST, results->path, "out of memory");
}

static void place_set(json_t *line, const struct results *results)
{
    set(line, "host", json_string(results->host));
    if (results->shard->count > 1) {
        set(line, "shard", number(results->shard->number));
    }
}

bool results_add(struct results *results, const struct worker *worker, enum batch_outcome outcome, struct error *error)
{
    const struct batch_task *task = &worker->task;
    json_t *line = json_object();
    set(line, "id", json_string(task->id));
    set(line, "job", json_string(task->fingerprint));
    set(line, "outcome", json_string(outcome_names[outcome]));
    if (WIFSIGNALED(worker->wait_status)) {
        set(line, "signal", json_integer(WTERMSIG(worker->wait_status)));
    } else {
        set(line, "exit", json_integer(WEXITSTATUS(worker->wait_status)));
    }
    set(line, "command", json_string(task->words[0]));
    set(line, "attempts", number(worker->attempt));
    set(line, "begun", json_real((double)worker->begun.tv_sec + (double)worker->begun.tv_nsec / 1e9));
    set(line, "seconds", json_real((double)(worker->ended_ns - worker->begun_ns) / 1e9));
    set(line, "processor-seconds", json_real((double)worker->processor_us / 1e6));
    set(line, "peak-memory", number(worker->peak_memory));
    if (task->input_count > 0) {
        set(line, "input", json_string(task->inputs[0]));
        set(line, "input-length", number(input_len(task)));
    }
    if (outcome == BATCH_DONE) {
        written_set(line, worker);
    }
    place_set(line, results);
    output_set(line, worker);
    return line_add(results, line, error);
}

bool results_add_invalid(struct results *results, const struct batch_task *task, const struct error *problem,
                         struct error *error)
{
    json_t *line = json_object();
    set(line, "id", task->id != NULL ? json_string(task->id) : json_null());
    set(line, "outcome", json_string(outcome_names[BATCH_INVALID]));
    set(line, "line", number(task->line));
    set(line, "stderr", text_json(problem->detail, strlen(problem->detail)));
    place_set(line, results);
    return line_add(results, line, error);
}

static bool is_number(const json_t *object, const char *key, uint64_t expected)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) && json_integer_value(value) >= 0 && (uint64_t)json_integer_value(value) == expected;
}

/*
 * Whether the output of a job is as it was when the job had ended; of what is written in place, whether it is there and
 * no shorter: others may have written to it since.
 */
static bool output_is_same(const json_t *output)
{
    struct stat status;
    const char *path = json_string_value(json_object_get(output, "path"));
    if (output == NULL) {
        return true;
    }
    if (path == NULL || stat(path, &status) != 0) {
        return false;
    }
    if (json_is_true(json_object_get(output, "in-place"))) {
        const json_t *len = json_object_get(output, "length");
        return json_is_integer(len) && json_integer_value(len) <= (json_int_t)status.st_size;
    }
    return is_number(output, "length", (uint64_t)status.st_size) &&
           is_number(output, "modified-ns",
                     (uint64_t)status.st_mtim.tv_sec * 1000000000 + (uint64_t)status.st_mtim.tv_nsec);
}

const char *results_key(char key[RESULTS_KEY_LEN], const char *fingerprint, const char *id)
{
    snprintf(key, RESULTS_KEY_LEN, "%s%s", fingerprint, id);
    return key;
}

static bool good_take(void *context, const json_t *line, struct error *error)
{
    struct id_set *good = context;
    char key[RESULTS_KEY_LEN];
    const char *id = json_string_value(json_object_get(line, "id"));
    const char *fingerprint = json_string_value(json_object_get(line, "job"));
    const char *outcome = json_string_value(json_object_get(line, "outcome"));
    bool is_good = id != NULL && strlen(id) <= MANIFEST_ID_LEN_MAX && fingerprint != NULL &&
                   strlen(fingerprint) == MANIFEST_FINGERPRINT_LEN && outcome != NULL &&
                   strcmp(outcome, outcome_names[BATCH_DONE]) == 0 && output_is_same(json_object_get(line, "output"));
    return !is_good || id_set_add(good, results_key(key, fingerprint, id)) ||
           error_set(error, ERROR_HOST, NULL, "out of memory");
}

bool results_find_good(const char *base, struct id_set *good, uint64_t *ret_torn_count, struct error *error)
{
    struct result_files_count count;
    bool success = result_files_read(base, good_take, good, &count, error);
    *ret_torn_count = count.torn;
    return success;
}
