/* SPDX-License-Identifier: Apache-2.0 */
#include "host/batch/result_report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/batch/line_file.h"
#include "host/batch/result_files.h"

#define JOB_ROOM_FIRST 1024u
/* What is no job has its place as its id. */
#define LINE_NAME_LEN 64
/* Many lives; sums and what is printed of them stay numbers. */
#define SECONDS_MAX 1e12

static bool no_memory(struct error *error)
{
    return error_set(error, ERROR_HOST, NULL, "out of memory");
}

static uint64_t number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) && json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
}

/* Of seconds; what is no time that a job takes is none. */
static double real_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    double number = json_is_number(value) ? json_number_value(value) : 0;
    return number > 0 && number < SECONDS_MAX ? number : 0;
}

static void line_name(char name[LINE_NAME_LEN], uint64_t line)
{
    snprintf(name, LINE_NAME_LEN, "line %" PRIu64 " of the manifest", line);
}

static char *last_line(const char *text)
{
    size_t end = text != NULL ? strlen(text) : 0;
    while (end > 0 && text[end - 1] == '\n') {
        end--;
    }
    size_t start = end;
    while (start > 0 && text[start - 1] != '\n') {
        start--;
    }
    return end > start ? strndup(&text[start], end - start) : NULL;
}

/* The job of an id, which is new to the report or not. */
static struct report_job *job_find(struct report *report, const char *id)
{
    size_t index;
    if (report->job_count == report->job_room) {
        size_t room = report->job_room > 0 ? 2 * report->job_room : JOB_ROOM_FIRST;
        struct report_job *jobs = realloc(report->jobs, room * sizeof(*jobs));
        if (jobs == NULL) {
            return NULL;
        }
        report->jobs = jobs;
        report->job_room = room;
    }
    if (!id_set_add_indexed(&report->ids, id, &index)) {
        return NULL;
    }
    if (index == report->job_count) {
        char *copy = strdup(id);
        if (copy == NULL) {
            return NULL;
        }
        report->jobs[report->job_count++] = (struct report_job){.outcome = BATCH_INVALID, .id = copy};
    }
    return &report->jobs[index];
}

static bool result_take(void *context, const json_t *line, struct error *error)
{
    struct report *report = context;
    const char *id = json_string_value(json_object_get(line, "id"));
    const char *name = json_string_value(json_object_get(line, "outcome"));
    enum batch_outcome outcome = name != NULL ? batch_outcome_find(name) : BATCH_OUTCOME_COUNT;
    char line_id[LINE_NAME_LEN];
    if (outcome == BATCH_INVALID) { /* it has no id, or another line's */
        line_name(line_id, number_of(line, "line"));
        id = line_id;
    }
    if (id == NULL || outcome == BATCH_OUTCOME_COUNT) {
        report->strange_count++;
        return true;
    }
    bool is_other = outcome == BATCH_INVALID ? number_of(line, "line") > report->line_count
                                             : !id_set_has(&report->manifest_ids, id);
    if (report->has_manifest && is_other) {
        report->other_count++;
        return true;
    }
    struct report_job *job = job_find(report, id);
    if (job == NULL) {
        return no_memory(error);
    }
    job->good_count += outcome == BATCH_DONE;
    if (outcome != BATCH_DONE && job->good_count > 0) {
        return true;
    }
    free(job->reason);
    job->reason = outcome != BATCH_DONE ? last_line(json_string_value(json_object_get(line, "stderr"))) : NULL;
    job->outcome = outcome;
    job->seconds = real_of(line, "seconds");
    job->processor_seconds = real_of(line, "processor-seconds");
    job->input_len = number_of(line, "input-length");
    job->output_len = number_of(json_object_get(line, "output"), "length");
    return true;
}

static bool manifest_id_add(struct report *report, const char *id, uint64_t line)
{
    size_t count = report->manifest_ids.count;
    size_t index;
    if (count == report->id_line_room) {
        size_t room = count > 0 ? 2 * count : JOB_ROOM_FIRST;
        uint64_t *lines = realloc(report->id_lines, room * sizeof(*lines));
        if (lines == NULL) {
            return false;
        }
        report->id_lines = lines;
        report->id_line_room = room;
    }
    if (!id_set_add_indexed(&report->manifest_ids, id, &index)) {
        return false;
    }
    if (index == count) {
        report->id_lines[index] = line;
    }
    return true;
}

/* What is no job has no id, and results of its own. */
static bool job_count(struct report *report, const struct line_file *file, struct error *error)
{
    json_t *job = file->is_too_long ? NULL : json_loadb(file->buffer, file->len, 0, NULL);
    const char *id = json_string_value(json_object_get(job, "id"));
    bool success = id == NULL || manifest_id_add(report, id, file->number);
    json_decref(job);
    report->manifest_count++;
    return success || no_memory(error);
}

static bool manifest_read(struct report *report, const char *manifest, struct error *error)
{
    struct line_file file;
    if (access(manifest, R_OK) != 0) {
        return true;
    }
    RETURN_IF_FAILED(line_file_open(&file, manifest, error));
    report->has_manifest = true;
    bool success = true;
    while (success && line_file_next(&file, error)) {
        report->line_count = file.number;
        success = line_file_is_blank(&file) || job_count(report, &file, error);
    }
    line_file_close(&file);
    return success && !error_is_set(error);
}

/* The line where a job of the manifest is now may have been none before. */
static bool past_line_mark(struct report *report, const struct report_job *job)
{
    char name[LINE_NAME_LEN];
    size_t index;
    if (job->outcome == BATCH_INVALID || !id_set_has(&report->manifest_ids, job->id)) {
        return true;
    }
    if (!id_set_add_indexed(&report->manifest_ids, job->id, &index)) {
        return false;
    }
    line_name(name, report->id_lines[index]);
    if (id_set_has(&report->ids, name)) {
        if (!id_set_add_indexed(&report->ids, name, &index)) {
            return false;
        }
        report->jobs[index].is_past = report->jobs[index].outcome == BATCH_INVALID;
    }
    return true;
}

static void report_job_release(struct report_job *job)
{
    free(job->id);
    free(job->reason);
}

/* The last step, as jobs have other places then. */
static bool past_lines_drop(struct report *report, struct error *error)
{
    size_t count = 0;
    for (size_t i = 0; i < report->job_count; i++) {
        RETURN_IF_FAILED(past_line_mark(report, &report->jobs[i]) || no_memory(error));
    }
    for (size_t i = 0; i < report->job_count; i++) {
        if (report->jobs[i].is_past) {
            report_job_release(&report->jobs[i]);
        } else {
            report->jobs[count++] = report->jobs[i];
        }
    }
    report->job_count = count;
    return true;
}

bool report_read(struct report *report, const char *manifest, const char *results, struct error *error)
{
    struct result_files_count count;
    RETURN_IF_FAILED(manifest_read(report, manifest, error));
    RETURN_IF_FAILED(result_files_read(results, result_take, report, &count, error));
    report->strange_count += count.torn;
    RETURN_IF_FAILED(past_lines_drop(report, error));
    for (size_t i = 0; i < report->job_count; i++) {
        const struct report_job *job = &report->jobs[i];
        report->counts[job->outcome]++;
        report->seconds += job->seconds;
        report->processor_seconds += job->processor_seconds;
        report->input_len += job->input_len;
        report->output_len += job->output_len;
    }
    return count.files > 0 || error_set(error, ERROR_USAGE, results, "there are no results");
}

void report_release(struct report *report)
{
    for (size_t i = 0; i < report->job_count; i++) {
        report_job_release(&report->jobs[i]);
    }
    free(report->jobs);
    free(report->id_lines);
    id_set_release(&report->ids);
    id_set_release(&report->manifest_ids);
    *report = (struct report){0};
}
