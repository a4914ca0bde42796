/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/job/command_job_error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/attributes.h"
#include "host/cli/escape.h"
#include "host/cli/image/job/error_hint.h"
#include "host/cli/personality.h"

void command_job_explain_target(struct command_job *job, const char *target, const char *what)
{
    bool is_opening = job->result.is_opening && job->result.opening_device == command_job_input_count(job);
    bool is_about_options = !job->result.is_opening && job->error.kind == ERROR_USAGE && job->error.place[0] == '\0';
    if ((!is_opening && !is_about_options) || job->is_object_wrong) {
        return;
    }
    enum error_reason reason = job->error.reason;
    struct error error = {0};
    char place[ERROR_PLACE_LEN];
    snprintf(place, sizeof(place), "%.500s: %s", target, what);
    if (is_opening && reason == ERROR_REASON_DIRECTORY) {
        error_fill(&error, job->error.kind, place, "Could not create '%.100s': %s", target, strerror(EISDIR));
    } else if (is_opening && reason == ERROR_REASON_CREATE) {
        error_fill(&error, job->error.kind, place, "Could not create '%.100s': %s", target, error_cause(&job->error));
    } else {
        error_fill_reason(&error, reason, job->error.kind, place, "%s", job->error.detail);
    }
    job->error = error;
    job->result.is_opening = false;
}

/* The image that the user named, by its file; NULL: an image leads to that. What is named has to be there yet. */
static const struct image_name *name_find(const struct command_job *job, const char *path)
{
    unsigned int count = command_job_input_count(job);
    unsigned int opening = job->result.opening_device;
    if (job->is_name_wrong) {
        return NULL; /* it is no file's */
    }
    /* One file may have several names. */
    if (job->result.is_opening && opening < count && strcmp(command_job_input(job, opening)->path, path) == 0) {
        return command_job_input(job, opening);
    }
    if (job->result.is_opening && opening == count && job->target_name != NULL &&
        strcmp(job->target_name->path, path) == 0) {
        return job->target_name;
    }
    for (unsigned int i = 0; i < count; i++) {
        if (strcmp(command_job_input(job, i)->path, path) == 0) {
            return command_job_input(job, i);
        }
    }
    return NULL;
}

/* The lines behind that of the error. */
static void hint_print(const struct command_job *job)
{
    char path[ESCAPED_LEN(ERROR_PLACE_LEN)];
    const char *hint = error_hint(job->error.reason);
    if (job->used_path[0] != '\0') {
        escape_text(path, sizeof(path), job->used_path);
        fprintf(stderr, "Is another process using the image [%s]?\n", path);
    } else if (hint != NULL) {
        fprintf(stderr, "%s\n", hint);
    }
}

/* "SUBJECT: PLACE: DETAIL", where the place is another one. */
static void subject_error_print(const struct command_job *job, const char *place, const char *detail, const char *cause)
{
    char subject[ESCAPED_LEN(ERROR_PLACE_LEN)];
    bool is_output =
        job->result.is_opening && !job->is_name_wrong && job->result.opening_device == command_job_input_count(job);
    escape_text(subject, sizeof(subject), job->subject);
    fprintf(stderr, "%s: %s: ", program_name(), subject);
    bool has_place = place[0] != '\0' && !job->is_name_wrong && !(is_output && job->error.kind == ERROR_IN_USE);
    if (job->result.is_opening && has_place) {
        fprintf(stderr, "Could not %s '%s': ", is_output ? "create" : "open", place);
        detail = job->error.reason == ERROR_REASON_DIRECTORY ? strerror(EISDIR) : cause;
    } else if (has_place && strcmp(place, subject) != 0) {
        fprintf(stderr, "%s: ", place);
    }
    fprintf(stderr, "%s\n", detail);
    hint_print(job);
    if (job->result.is_opening && !is_output) {
        fprintf(stderr, "Could not open backing image.\n");
    }
    if (job->failure_note != NULL) {
        fprintf(stderr, "%s\n", job->failure_note);
    }
}

/*
 * "Could not open 'NAME': ...", where NAME is what the user calls the image that has its file at error.place, or the
 * one that it is behind.
 */
static void opening_error_print(const char *shown, const char *path, enum error_reason reason, const char *cause,
                                bool is_behind)
{
    fprintf(stderr, "%s: Could not open '%s': %s", program_name(), shown, is_behind ? IMAGE_BACKING_PROBLEM : "");
    if (reason == ERROR_REASON_OPEN) {
        fprintf(stderr, "Could not open '%s': %s\n", path, cause);
    } else if (reason == ERROR_REASON_DIRECTORY) {
        fprintf(stderr, "'file' driver requires '%s' to be a regular file\n", path);
    } else {
        fprintf(stderr, "%s\n", cause);
    }
}

/* qemu-img breaks the line of one long hint. */
static void detail_print(const char *detail)
{
    static const char hint[] = SIZE_UNITS_FIRST " " SIZE_UNITS_SECOND;
    size_t len = strlen(detail);
    if (len >= strlen(hint) && strcmp(detail + len - strlen(hint), hint) == 0) {
        int first_len = (int)(len - strlen(hint) + strlen(SIZE_UNITS_FIRST));
        fprintf(stderr, "%.*s\n%s: %s\n", first_len, detail, program_name(), detail + first_len + 1);
    } else {
        fprintf(stderr, "%s\n", detail);
    }
}

void command_job_print_error(const struct command_job *job)
{
    const struct error *error = &job->error;
    char path[ESCAPED_LEN(ERROR_PLACE_LEN)];
    char place[ESCAPED_LEN(ERROR_PLACE_LEN)];
    char detail[ESCAPED_LEN(ERROR_DETAIL_LEN)];
    char cause[ESCAPED_LEN(ERROR_DETAIL_LEN)];
    escape_text(path, sizeof(path), error->place);
    const struct image_name *name = name_find(job, error->place);
    escape_text(place, sizeof(place), name != NULL ? name->text : error->place);
    escape_text(detail, sizeof(detail), error->detail);
    escape_text(cause, sizeof(cause), error_cause(error));
    if (job->subject != NULL) {
        subject_error_print(job, place, detail, cause);
    } else if (job->result.is_opening && (place[0] != '\0' || job->is_name_wrong)) {
        opening_error_print(place, path, error->reason, cause, name != NULL && name->behind_count > 0);
        hint_print(job);
    } else {
        fprintf(stderr, "%s: %s%s", program_name(), place, place[0] != '\0' ? ": " : "");
        detail_print(detail);
        hint_print(job);
    }
    if (job->options.show_hint) {
        fprintf(stderr, "Try '%s --help' for more information\n", program_name());
    }
}
