/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inih takes the lines apart; the reader between it and the file counts them for messages, and refuses what inih
 * would let pass: lines that are too long for it, zero bytes, text after a section's name. It also takes the indent
 * away, by which inih would continue the value of the line before.
 */
#include "host/cli/configuration.h"
#include "host/cli/run_as.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/job/files/file_place.h"
#include "host/job/files/named_file.h"

#define BLANKS " \t\r\n\v\f"
/* An inspection that computes for longer is stuck in an image made to that end. */
#define INSPECT_CPU_S 30

struct parse {
    const char *path;
    FILE *stream;
    int line; /* the one that was read last, from 1 */
    struct configuration *configuration;
    struct backing_names *names;
    struct error *error;
};

/* Fails with an error at the current line. */
#define parse_error(parse, ...) (parse_error_fill(parse, __VA_ARGS__), false)

static void place_write(const struct parse *parse, int line, char place[ERROR_PLACE_LEN])
{
    /* The number is never cut. */
    snprintf(place, ERROR_PLACE_LEN, "%.*s:%d", ERROR_PLACE_LEN - 16, parse->path, line);
}

static void PRINTF_LIKE(2, 3) parse_error_fill(const struct parse *parse, const char *format, ...)
{
    char place[ERROR_PLACE_LEN];
    char detail[ERROR_DETAIL_LEN];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof(detail), format, arguments);
    va_end(arguments);
    place_write(parse, parse->line, place);
    error_fill(parse->error, ERROR_USAGE, place, "%s", detail);
}

static bool key_unknown(const struct parse *parse, const char *section, const char *name)
{
    return parse_error(parse, "unknown key '%s' in [%s]", name, section);
}

static bool allow_take(const struct parse *parse, const char *value)
{
    char place[ERROR_PLACE_LEN];
    place_write(parse, parse->line, place);
    if (strcmp(value, "yes") == 0) { /* what the file said before there was something else than yes and no */
        value = "beside";
    }
    return backing_parse(value, place, &parse->configuration->allows_beside, parse->error);
}

static bool backing_take(const struct parse *parse, const char *name, const char *value)
{
    bool is_file = strcmp(name, "file") == 0;
    if (strcmp(name, "allow") == 0) {
        return allow_take(parse, value);
    }
    if (strcmp(name, "commit") == 0) {
        parse->configuration->commits = strcmp(value, "yes") == 0;
        return parse->configuration->commits || strcmp(value, "no") == 0 ||
               parse_error(parse, "'%s' is not one of no, yes", value);
    }
    if (!is_file && strcmp(name, "directory") != 0) {
        return key_unknown(parse, "backing", name);
    }
    if (value[0] != '/') {
        return parse_error(parse, "'%s' is not an absolute path", value);
    }
    char place[ERROR_PLACE_LEN];
    place_write(parse, parse->line, place);
    return backing_names_add(parse->names, is_file, value, place, parse->error);
}

static bool limit_line_take(const struct parse *parse, struct limit_values *limits, const char *section,
                            const char *name, const char *value)
{
    enum limit limit = limit_find(name);
    if (limit == LIMIT_COUNT) {
        return key_unknown(parse, section, name);
    }
    char place[ERROR_PLACE_LEN];
    place_write(parse, parse->line, place);
    return limit_take(limits, limit, place, value, parse->error);
}

static bool sandbox_take(const struct parse *parse, const char *name, const char *value)
{
    char place[ERROR_PLACE_LEN];
    place_write(parse, parse->line, place);
    if (strcmp(name, "run-as") == 0) {
        parse->configuration->has_user = true;
        return run_as_parse(value, place, &parse->configuration->user, parse->error);
    }
    if (strcmp(name, "engine") != 0) {
        return key_unknown(parse, "sandbox", name);
    }
    return sandbox_parse(value, place, &parse->configuration->sandbox, parse->error);
}

/* inih's handler: a nonzero result goes on. */
static int entry_take(void *context, const char *section, const char *name, const char *value)
{
    const struct parse *parse = context;
    struct configuration *configuration = parse->configuration;
    if (strcmp(section, "backing") == 0) {
        return backing_take(parse, name, value);
    }
    if (strcmp(section, "limits") == 0) {
        return limit_line_take(parse, &configuration->limits, section, name, value);
    }
    if (strcmp(section, "limits.inspect") == 0) {
        return limit_line_take(parse, &configuration->kind_limits[JOB_INSPECT], section, name, value);
    }
    if (strcmp(section, "limits.convert") == 0) {
        return limit_line_take(parse, &configuration->kind_limits[JOB_CONVERT], section, name, value);
    }
    if (strcmp(section, "sandbox") == 0) {
        return sandbox_take(parse, name, value);
    }
    return section[0] == '\0' ? parse_error(parse, "'%s' stands before the first [section]", name)
                              : parse_error(parse, "unknown section [%s]", section);
}

/* Whether a section's name is followed by something else than a comment. */
static bool has_text_after_section(const char *line)
{
    const char *end = line[0] == '[' ? strchr(line, ']') : NULL;
    if (end == NULL) {
        return false;
    }
    end += 1 + strspn(end + 1, BLANKS);
    return *end != '\0' && *end != ';' && *end != '#';
}

/* Reads a line with its end, and terminates it. False at the end of the file, and with an error. */
static bool line_read(struct parse *parse, char *line, int line_room)
{
    int len = 0;
    int byte = getc(parse->stream);
    parse->line += byte != EOF ? 1 : 0;
    for (; byte != EOF; byte = getc(parse->stream)) {
        if (byte == '\0') {
            return parse_error(parse, "the line contains a zero byte");
        }
        if (len == line_room - 1) {
            return parse_error(parse, "the line is longer than %d bytes", line_room - 2);
        }
        line[len++] = (char)byte;
        if (byte == '\n') {
            break;
        }
    }
    if (ferror(parse->stream)) {
        return error_set(parse->error, ERROR_IO, parse->path, "cannot read: %s", strerror(errno));
    }
    line[len] = '\0';
    return len > 0;
}

/* inih's reader. NULL at the end, and after the first error. */
static char *line_next(char *line, int line_room, void *context)
{
    struct parse *parse = context;
    if (error_is_set(parse->error) || !line_read(parse, line, line_room)) {
        return NULL;
    }
    size_t indent = strspn(line, " \t\v\f");
    memmove(line, line + indent, strlen(line + indent) + 1);
    if (has_text_after_section(line)) {
        parse_error_fill(parse, "text after the section's name");
        return NULL;
    }
    return line;
}

static bool parse_run(struct parse *parse)
{
    int error_line = ini_parse_stream(line_next, parse, entry_take, parse);
    /* Lines that inih itself could not make sense of: it goes on after them, so they may stand before our error. */
    if (error_line > 0 && (!error_is_set(parse->error) || error_line < parse->line)) {
        *parse->error = (struct error){0};
        parse->line = error_line;
        return parse_error(parse, "is neither '[section]' nor 'key = value'");
    }
    return !error_is_set(parse->error);
}

/* A file that others may write would let them decide where this user's images may lead. */
static bool owner_check(FILE *stream, const char *path, struct error *error)
{
    struct stat status;
    if (fstat(fileno(stream), &status) != 0) {
        return error_set(error, ERROR_IO, path, "cannot read: %s", strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) {
        return error_set(error, ERROR_USAGE, path, "is not a regular file");
    }
    if (status.st_uid != 0 && status.st_uid != geteuid()) {
        return error_set(error, ERROR_USAGE, path, "refused: it is owned neither by root nor by the user");
    }
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return error_set(error, ERROR_USAGE, path, "refused: others than its owner may write to it");
    }
    return true;
}

bool configuration_read(const char *path, bool is_named, struct configuration *ret_configuration,
                        struct backing_names *names, struct error *error)
{
    struct configuration configuration = {.sandbox = JOB_SANDBOX_AUTO};
    /* The default one is looked at before it is read: a FIFO in its place must not make us wait. */
    int fd = -1;
    int result = named_file_open(path, is_named, &fd);
    if (result != 0) {
        if (is_named || (result != ENOENT && result != ENOTDIR)) {
            return error_set_cause(error, ERROR_REASON_OPEN, ERROR_IO, path, file_place_problem(result));
        }
        *ret_configuration = configuration;
        return true;
    }
    FILE *stream = fdopen(fd, "r");
    if (stream == NULL) {
        close(fd);
        return error_set(error, ERROR_HOST, path, "out of memory");
    }
    struct parse parse = {
        .path = path,
        .stream = stream,
        .configuration = &configuration,
        .names = names,
        .error = error,
    };
    bool success = (is_named || owner_check(stream, path, error)) && parse_run(&parse);
    fclose(stream);
    if (success) {
        *ret_configuration = configuration;
    }
    return success;
}

struct job_limits configuration_limits(const struct configuration *configuration, enum job_kind kind,
                                       const struct limit_values *command_line)
{
    static const struct limit_values built_in[JOB_KIND_COUNT] = {
        [JOB_INSPECT] =
            {
                .is_given = {[LIMIT_CPU] = true, [LIMIT_LINES] = true},
                .values = {[LIMIT_CPU] = INSPECT_CPU_S, [LIMIT_LINES] = UINT64_MAX},
            },
        [JOB_CONVERT] =
            {
                .is_given = {[LIMIT_MIN_FREE] = true, [LIMIT_LINES] = true},
                .values = {[LIMIT_MIN_FREE] = UINT64_MAX, [LIMIT_LINES] = UINT64_MAX},
            },
    };
    const struct limit_values *const layers[] = {
        command_line,
        &configuration->kind_limits[kind],
        &configuration->limits,
        &built_in[kind],
    };
    return limits_resolve(layers, ARRAY_COUNT(layers));
}

bool backing_parse(const char *text, const char *place, bool *ret_allows_beside, struct error *error)
{
    bool is_beside = strcmp(text, "beside") == 0;
    if (!is_beside && strcmp(text, "no") != 0) {
        return error_set(error, ERROR_USAGE, place, "'%s' is not one of no, beside", text);
    }
    *ret_allows_beside = is_beside;
    return true;
}

bool sandbox_parse(const char *text, const char *place, enum job_sandbox *ret_sandbox, struct error *error)
{
    static const char *const names[] = {
        [JOB_SANDBOX_AUTO] = "auto",
        [JOB_SANDBOX_KVM] = "kvm",
        [JOB_SANDBOX_PROCESS] = "process",
    };
    for (unsigned int i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret_sandbox = (enum job_sandbox)i;
            return true;
        }
    }
    return error_set(error, ERROR_USAGE, place, "%s is not one of auto, kvm, process", text);
}
