/* SPDX-License-Identifier: Apache-2.0 */
#include "host/batch/submit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/job/outputs/output_file.h"

/* What jobs have to come to their end when a shard's time is over, seconds: by Slurm, before it is. */
#define DRAIN_S 60
/* What parallel replaces by the number of the shard. */
#define SHARD_WORD "@INSTAR-SHARD@"
/*
 * What begins that, and all else that parallel replaces in a command, as {.}, {#}, {1} and {= perl =}: it knows no way
 * to have them left alone.
 */
#define PARALLEL_BEGINS "@{"
/* A pod that was evicted, or whose node went, is replaced so often, on average. */
#define POD_TRIES 4u
/* Of an Indexed Job, by the API. */
#define POD_COUNT_MAX 100000u
/* Where a pod has the volume: relative names are within it. */
#define POD_FOLDER "/images"

const char *submit_engine_name(enum submit_engine engine)
{
    static const char *const names[SUBMIT_ENGINE_COUNT] = {"slurm", "parallel", "kubernetes"};
    return names[engine];
}

/* One word for a shell. The quotes begin anew behind each character of `broken`, so that nothing longer that begins
 * with one is in the text.
 */
static void word_write_broken(FILE *stream, const char *word, const char *broken)
{
    fputc('\'', stream);
    for (; *word != '\0'; word++) {
        if (*word == '\'') {
            fputs("'\\''", stream);
        } else {
            fputc(*word, stream);
        }
        if (strchr(broken, *word) != NULL) {
            fputs("''", stream);
        }
    }
    fputc('\'', stream);
}

static void word_write(FILE *stream, const char *word)
{
    word_write_broken(stream, word, "");
}

static void words_write(FILE *stream, const struct submit_plan *plan, const char *option, const char *broken)
{
    for (size_t i = 0; i < plan->word_count; i++) {
        word_write_broken(stream, plan->words[i], broken);
        fputc(' ', stream);
        if (i == 1) { /* behind "batch" */
            fprintf(stream, "%s ", option);
        }
    }
}

static uint64_t kibibytes(uint64_t len)
{
    return len / 1024 + (len % 1024 != 0);
}

static bool slurm_write(const struct submit_plan *plan, FILE *stream, struct error *error)
{
    char option[64];
    if (plan->time_s > 0 && plan->time_s <= DRAIN_S) {
        return error_set(error, ERROR_USAGE, "--shard-time", "slurm has jobs drain %d s before: more than that",
                         DRAIN_S);
    }
    snprintf(option, sizeof(option), "--shards %" PRIu32, plan->shard_count);
    fprintf(stream,
            "#!/bin/sh\n"
            "#SBATCH --job-name=instar-batch\n"
            "#SBATCH --array=0-%" PRIu32 "\n"
            "#SBATCH --cpus-per-task=%" PRIu32 "\n"
            "#SBATCH --requeue\n"
            "#SBATCH --open-mode=append\n"
            "#SBATCH --signal=B:TERM@%d\n",
            plan->shard_count - 1, plan->worker_count, DRAIN_S);
    if (plan->time_s > 0) {
        uint32_t minutes = plan->time_s / 60;
        fprintf(stream, "#SBATCH --time=%" PRIu32 "-%02" PRIu32 ":%02" PRIu32 ":%02" PRIu32 "\n", minutes / (24 * 60),
                minutes / 60 % 24, minutes % 60, plan->time_s % 60);
    }
    if (plan->memory_len > 0) {
        fprintf(stream, "#SBATCH --mem=%" PRIu64 "K\n", kibibytes(plan->memory_len));
    }
    fputs("exec ", stream);
    words_write(stream, plan, option, "");
    fputc('\n', stream);
    return true;
}

static bool parallel_write(const struct submit_plan *plan, FILE *stream, struct error *error)
{
    char option[64];
    char *command = NULL;
    size_t command_len;
    char *log = NULL;
    FILE *text = open_memstream(&command, &command_len);
    snprintf(option, sizeof(option), "--shard " SHARD_WORD "/%" PRIu32, plan->shard_count);
    if (text == NULL || asprintf(&log, "%s.joblog", plan->manifest) < 0) {
        if (text != NULL) {
            fclose(text);
            free(command);
        }
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    words_write(text, plan, option, PARALLEL_BEGINS);
    fclose(text);
    fprintf(stream,
            "#!/bin/sh\n# Arguments are parallel's: --sshlogin HOST, --jobs N and so on.\nseq %" PRIu32 " | exec ",
            plan->shard_count);
    /* Not --resume: a shard that was done may have more to do, by a longer manifest or another number of shards. */
    fputs("parallel -I " SHARD_WORD " --joblog ", stream);
    word_write(stream, log);
    if (plan->time_s > 0) { /* the first signal has it drain, the second one stops it */
        fprintf(stream, " --timeout %" PRIu32 " --termseq TERM,%d,TERM,10000,KILL,25", plan->time_s, DRAIN_S * 1000);
    }
    if (plan->memory_len > 0) {
        fprintf(stream, " --memfree %" PRIu64 "K", kibibytes(plan->memory_len));
    }
    fputs(" \"$@\" ", stream);
    word_write(stream, command);
    fputc('\n', stream);
    free(command);
    free(log);
    return true;
}

/* $(NAME) would be a variable, and $$ one dollar: doubled, they stay. NULL: out of memory, or no UTF-8. */
static json_t *argument_json(const char *word)
{
    char *doubled = malloc(2 * strlen(word) + 1);
    size_t len = 0;
    for (; doubled != NULL && *word != '\0'; word++) {
        doubled[len++] = *word;
        if (*word == '$') {
            doubled[len++] = '$';
        }
    }
    json_t *argument = doubled != NULL ? json_stringn(doubled, len) : NULL;
    free(doubled);
    return argument;
}

static json_t *words_json(const struct submit_plan *plan)
{
    json_t *list = json_array();
    for (size_t i = 1; i < plan->word_count; i++) { /* the image knows its program */
        json_array_append_new(list, argument_json(plan->words[i]));
        if (i == 1) {
            char number[16];
            snprintf(number, sizeof(number), "%" PRIu32, plan->shard_count);
            json_array_append_new(list, json_string("--shards"));
            json_array_append_new(list, json_string(number));
        }
    }
    return list;
}

/* As packaging/kubernetes/job.yaml, within the Pod Security Standard "restricted". */
static json_t *pod_json(const struct submit_plan *plan)
{
    char processors[16];
    snprintf(processors, sizeof(processors), "%" PRIu32, plan->worker_count);
    return json_pack("{s:s, s:b, s:b, s:{s:b, s:i, s:i, s:i, s:{s:s}},"
                     " s:[{s:s, s:s, s:o, s:s, s:{s:b, s:b, s:{s:[s]}}, s:{s:{s:s, s:s}}, s:[{s:s, s:s}]}],"
                     " s:[{s:s, s:{s:s}}]}",
                     "restartPolicy", "Never", "automountServiceAccountToken", 0, "enableServiceLinks", 0,
                     "securityContext", "runAsNonRoot", 1, "runAsUser", 65532, "runAsGroup", 65532, "fsGroup", 65532,
                     "seccompProfile", "type", "RuntimeDefault", "containers", "name", "batch", "image", plan->image,
                     "args", words_json(plan), "workingDir", POD_FOLDER, "securityContext", "allowPrivilegeEscalation",
                     0, "readOnlyRootFilesystem", 1, "capabilities", "drop", "ALL", "resources", "requests", "cpu",
                     processors, "memory", "256Mi", "volumeMounts", "name", "images", "mountPath", POD_FOLDER,
                     "volumes", "name", "images", "persistentVolumeClaim", "claimName", plan->claim);
}

static void pod_limit(json_t *pod, const struct submit_plan *plan)
{
    json_t *resources = json_object_get(json_array_get(json_object_get(pod, "containers"), 0), "resources");
    if (plan->time_s > 0) {
        json_object_set_new(pod, "activeDeadlineSeconds", json_integer(plan->time_s));
        json_object_set_new(pod, "terminationGracePeriodSeconds", json_integer(DRAIN_S));
    }
    if (plan->memory_len > 0) {
        json_t *memory = json_sprintf("%" PRIu64 "Ki", kibibytes(plan->memory_len));
        json_object_set(json_object_get(resources, "requests"), "memory", memory);
        json_object_set_new(resources, "limits", json_pack("{s:o}", "memory", memory));
    }
}

static bool is_utf8(const char *text)
{
    json_t *value = json_string(text);
    bool is_text = value != NULL;
    json_decref(value);
    return is_text;
}

/* What a Job cannot say. */
static bool kubernetes_check(const struct submit_plan *plan, struct error *error)
{
    if (plan->image == NULL || plan->claim == NULL) {
        return error_set(error, ERROR_USAGE, "--submit", "kubernetes wants --image and --claim");
    }
    if (plan->shard_count > POD_COUNT_MAX) {
        return error_set(error, ERROR_USAGE, "--shards", "kubernetes has %u at most", POD_COUNT_MAX);
    }
    bool is_text = is_utf8(plan->image) && is_utf8(plan->claim);
    for (size_t i = 1; i < plan->word_count; i++) {
        is_text = is_text && is_utf8(plan->words[i]);
    }
    return is_text || error_set(error, ERROR_USAGE, "--submit", "for kubernetes all words have to be UTF-8");
}

static bool kubernetes_write(const struct submit_plan *plan, FILE *stream, struct error *error)
{
    RETURN_IF_FAILED(kubernetes_check(plan, error));
    json_t *pod = pod_json(plan);
    pod_limit(pod, plan);
    json_t *job = json_pack("{s:s, s:s, s:{s:s}, s:{s:s, s:i, s:i, s:i, s:{s:o}}}", "apiVersion", "batch/v1", "kind",
                            "Job", "metadata", "generateName", "instar-batch-", "spec", "completionMode", "Indexed",
                            "completions", (int)plan->shard_count, "parallelism", (int)plan->shard_count,
                            "backoffLimit", (int)(POD_TRIES * plan->shard_count), "template", "spec", pod);
    bool success = job != NULL && json_dumpf(job, stream, JSON_INDENT(2)) == 0;
    fputc('\n', stream);
    json_decref(job);
    return success || error_set(error, ERROR_HOST, NULL, "out of memory");
}

bool submit_write(const struct submit_plan *plan, FILE *stream, struct error *error)
{
    if (plan->engine == SUBMIT_PARALLEL) {
        return parallel_write(plan, stream, error);
    }
    if (plan->engine == SUBMIT_KUBERNETES) {
        return kubernetes_write(plan, stream, error);
    }
    return slurm_write(plan, stream, error);
}

static bool descriptor_write(const struct submit_plan *plan, const char *path, int output_fd, struct error *error)
{
    int fd = fcntl(output_fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    FILE *stream = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (stream == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return error_set(error, ERROR_HOST, path, "cannot write: %s", strerror(errno));
    }
    bool success = submit_write(plan, stream, error);
    bool is_written = ferror(stream) == 0;
    is_written = fclose(stream) == 0 && is_written;
    return success && (is_written || error_set(error, ERROR_IO, path, "cannot write"));
}

/* As an output of a job: what stands there stays until all is written, and is nobody else's. */
static bool file_write(const struct submit_plan *plan, const char *path, struct error *error)
{
    const struct output_request request = {.kind = JOB_OUTPUT_NEW, .path = path, .truncates = true};
    struct output_file output;
    RETURN_IF_FAILED(output_file_open(&output, &request, error));
    if (!descriptor_write(plan, path, output.fd, error)) {
        output_file_discard(&output);
        return false;
    }
    return output_file_commit(&output, path, false, error);
}

void submit_run(const struct submit_plan *plan, struct error *error)
{
    char *path = NULL;
    if (asprintf(&path, "%s.%s", plan->manifest, submit_engine_name(plan->engine)) < 0) {
        error_fill(error, ERROR_HOST, NULL, "out of memory");
        return;
    }
    const char *const commands[SUBMIT_ENGINE_COUNT][6] = {
        [SUBMIT_SLURM] = {"sbatch", path, NULL},
        [SUBMIT_PARALLEL] = {"sh", path, NULL},
        [SUBMIT_KUBERNETES] = {"kubectl", "create", "-f", path, NULL},
    };
    const char *const *command = commands[plan->engine];
    if (file_write(plan, path, error)) {
        execvp(command[0], (char *const *)command);
        error_fill(error, ERROR_HOST, command[0], "cannot execute: %s", strerror(errno));
    }
    free(path);
}
