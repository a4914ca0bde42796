/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/batch_report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "host/cli/escape.h"

/* Of the slowest jobs, the largest, and those that were not good. */
#define REPORT_LIST_MAX 10u
/* What is shown of a name or a reason, before it is escaped: results may have lines of many megabytes. */
#define SHOWN_LEN ((size_t)4096)

static int slower_first(const void *a, const void *b)
{
    const struct report_job *first = a;
    const struct report_job *second = b;
    return (first->seconds < second->seconds) - (first->seconds > second->seconds);
}

static int larger_first(const void *a, const void *b)
{
    const struct report_job *first = a;
    const struct report_job *second = b;
    return (first->input_len < second->input_len) - (first->input_len > second->input_len);
}

/* Jobs that took longer than this share of all took so long. They are sorted. */
static double seconds_at(const struct report *report, unsigned int percent)
{
    size_t index = (size_t)((uint64_t)report->job_count * (100 - percent) / 100);
    return report->job_count > 0 ? report->jobs[min_u64(index, report->job_count - 1)].seconds : 0;
}

/* Jobs of the manifest that no shard has got to. */
static uint64_t missing_count(const struct report *report)
{
    uint64_t known_count = report->job_count;
    return report->manifest_count > known_count ? report->manifest_count - known_count : 0;
}

static json_t *job_json(const struct report_job *job)
{
    json_t *object = json_object();
    json_object_set_new(object, "id", json_string(job->id));
    json_object_set_new(object, "outcome", json_string(batch_outcome_name(job->outcome)));
    json_object_set_new(object, "seconds", json_real(job->seconds));
    json_object_set_new(object, "input-length", json_integer((json_int_t)min_u64(job->input_len, INT64_MAX)));
    if (job->reason != NULL) {
        json_object_set_new(object, "reason", json_string(job->reason));
    }
    return object;
}

static json_t *jobs_json(const struct report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->job_count && i < REPORT_LIST_MAX; i++) {
        json_array_append_new(list, job_json(&report->jobs[i]));
    }
    return list;
}

static json_t *bad_json(const struct report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->job_count; i++) {
        if (report->jobs[i].outcome != BATCH_DONE) {
            json_array_append_new(list, job_json(&report->jobs[i]));
        }
    }
    return list;
}

static uint64_t repeated_count(const struct report *report)
{
    uint64_t count = 0;
    for (size_t i = 0; i < report->job_count; i++) {
        count += report->jobs[i].good_count > 1;
    }
    return count;
}

static json_t *report_json(struct report *report)
{
    json_t *root = json_object();
    json_t *outcomes = json_object();
    for (int outcome = 0; outcome < BATCH_OUTCOME_COUNT; outcome++) {
        json_object_set_new(outcomes, batch_outcome_name((enum batch_outcome)outcome),
                            json_integer((json_int_t)report->counts[outcome]));
    }
    json_object_set_new(root, "jobs", json_integer((json_int_t)report->job_count));
    json_object_set_new(root, "without-result", json_integer((json_int_t)missing_count(report)));
    json_object_set_new(root, "done-repeatedly", json_integer((json_int_t)repeated_count(report)));
    json_object_set_new(root, "of-no-job", json_integer((json_int_t)report->other_count));
    json_object_set_new(root, "no-results", json_integer((json_int_t)report->strange_count));
    json_object_set_new(root, "outcomes", outcomes);
    json_object_set_new(root, "seconds", json_real(report->seconds));
    json_object_set_new(root, "processor-seconds", json_real(report->processor_seconds));
    json_object_set_new(root, "input-length", json_integer((json_int_t)min_u64(report->input_len, INT64_MAX)));
    json_object_set_new(root, "output-length", json_integer((json_int_t)min_u64(report->output_len, INT64_MAX)));
    json_object_set_new(root, "seconds-median", json_real(seconds_at(report, 50)));
    json_object_set_new(root, "seconds-99-percent", json_real(seconds_at(report, 99)));
    json_object_set_new(root, "slowest", jobs_json(report));
    json_object_set_new(root, "not-done", bad_json(report));
    qsort(report->jobs, report->job_count, sizeof(*report->jobs), larger_first);
    json_object_set_new(root, "largest", jobs_json(report));
    return root;
}

static void text_print(FILE *stream, const char *text)
{
    char escaped[ESCAPED_LEN(SHOWN_LEN)];
    size_t len = strlen(text);
    escape_bytes(escaped, sizeof(escaped), (struct span){(const uint8_t *)text, min_u64(len, SHOWN_LEN)});
    fprintf(stream, "%s%s", escaped, len > SHOWN_LEN ? " (cut)" : "");
}

static void jobs_text(const struct report *report, const char *title, FILE *stream)
{
    fprintf(stream, "\n%s\n", title);
    for (size_t i = 0; i < report->job_count && i < REPORT_LIST_MAX; i++) {
        const struct report_job *job = &report->jobs[i];
        fprintf(stream, "  %10.3f s  %12" PRIu64 " bytes  %-11s  ", job->seconds, job->input_len,
                batch_outcome_name(job->outcome));
        text_print(stream, job->id);
        fputc('\n', stream);
    }
}

static void bad_text(const struct report *report, FILE *stream)
{
    unsigned int count = 0;
    for (size_t i = 0; i < report->job_count && count < REPORT_LIST_MAX; i++) {
        const struct report_job *job = &report->jobs[i];
        if (job->outcome != BATCH_DONE) {
            fprintf(stream, "%s  %-11s  ", count == 0 ? "\nNot done:\n" : "", batch_outcome_name(job->outcome));
            text_print(stream, job->id);
            fputs(": ", stream);
            text_print(stream, job->reason != NULL ? job->reason : "");
            fputc('\n', stream);
            count++;
        }
    }
}

static void report_text(struct report *report, FILE *stream)
{
    fprintf(stream, "%-12s %10s\n", "outcome", "jobs");
    for (int outcome = 0; outcome < BATCH_OUTCOME_COUNT; outcome++) {
        if (report->counts[outcome] > 0) {
            fprintf(stream, "%-12s %10" PRIu64 "\n", batch_outcome_name((enum batch_outcome)outcome),
                    report->counts[outcome]);
        }
    }
    if (report->has_manifest) {
        fprintf(stream, "%-12s %10" PRIu64 "\n", "no result", missing_count(report));
    }
    if (report->other_count > 0) {
        fprintf(stream, "\n%" PRIu64 " results are of jobs that the manifest does not have\n", report->other_count);
    }
    if (report->strange_count > 0) {
        fprintf(stream, "\n%" PRIu64 " lines that are no results were passed over\n", report->strange_count);
    }
    fprintf(stream,
            "\n%.1f s of jobs, %.1f s of processors, %" PRIu64 " bytes read from, %" PRIu64
            " written\na job: median %.3f s, 99 %% %.3f s\n",
            report->seconds, report->processor_seconds, report->input_len, report->output_len, seconds_at(report, 50),
            seconds_at(report, 99));
    bad_text(report, stream);
    jobs_text(report, "The slowest:", stream);
    qsort(report->jobs, report->job_count, sizeof(*report->jobs), larger_first);
    jobs_text(report, "The largest:", stream);
}

/* Bars by outcome: their length is the share of all jobs. */
static void report_svg(const struct report *report, FILE *stream)
{
    static const char *const colours[BATCH_OUTCOME_COUNT] = {
        [BATCH_DONE] = "#3a7d44",    [BATCH_REFUSED] = "#b8860b", [BATCH_FAILED] = "#b03a2e",
        [BATCH_LIMIT] = "#7d3c98",   [BATCH_CRASHED] = "#641e16", [BATCH_INTERRUPTED] = "#5d6d7e",
        [BATCH_INVALID] = "#1c2833",
    };
    uint64_t missing = missing_count(report);
    uint64_t total = missing;
    for (int outcome = 0; outcome < BATCH_OUTCOME_COUNT; outcome++) {
        total += report->counts[outcome];
    }
    fprintf(stream,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"640\" height=\"%d\" font-family=\"sans-serif\" "
            "font-size=\"13\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
            40 + 24 * (BATCH_OUTCOME_COUNT + 1));
    fprintf(stream, "<text x=\"12\" y=\"24\">%" PRIu64 " jobs, median %.3f s, 99 %% %.3f s</text>\n", total,
            seconds_at(report, 50), seconds_at(report, 99));
    for (int row = 0; row <= BATCH_OUTCOME_COUNT; row++) {
        bool is_missing = row == BATCH_OUTCOME_COUNT;
        uint64_t count = is_missing ? missing : report->counts[row];
        const char *name = is_missing ? "no result" : batch_outcome_name((enum batch_outcome)row);
        int y = 40 + 24 * row;
        double width = total > 0 ? 400.0 * (double)count / (double)total : 0;
        fprintf(stream,
                "<text x=\"12\" y=\"%d\">%s</text><rect x=\"110\" y=\"%d\" width=\"%.1f\" height=\"16\" fill=\"%s\"/>"
                "<text x=\"%.1f\" y=\"%d\">%" PRIu64 "</text>\n",
                y + 13, name, y, width, is_missing ? "#aab7b8" : colours[row], 118 + width, y + 13, count);
    }
    fprintf(stream, "</svg>\n");
}

bool batch_report_print(struct report *report, enum batch_report_format format, FILE *stream, struct error *error)
{
    qsort(report->jobs, report->job_count, sizeof(*report->jobs), slower_first);
    if (format == BATCH_REPORT_TEXT) {
        report_text(report, stream);
    } else if (format == BATCH_REPORT_SVG) {
        report_svg(report, stream);
    } else {
        json_t *root = report_json(report);
        if (root == NULL ||
            json_dumpf(root, stream, JSON_INDENT(4) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(12)) != 0) {
            json_decref(root);
            return error_set(error, ERROR_HOST, NULL, "out of memory");
        }
        fputc('\n', stream);
        json_decref(root);
    }
    return true;
}
