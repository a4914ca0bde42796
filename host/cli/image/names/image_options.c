/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/names/image_options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/number_text.h"
#include "host/cli/numbers.h"
#include "host/cli/options.h"

const char image_options_help[] = "  --data-file FILE         the data file of an image that has one: written\n"
                                  "                           where the image is changed\n" BACKING_OPTION_HELP
                                  "  --image-opts             images are named by driver=FORMAT,file.filename=PATH\n"
                                  "                           instead of a path\n"
                                  "  --object secret,id=ID,file=PATH|data=TEXT\n"
                                  "                           what encrypted images are opened with that have\n"
                                  "                           key-secret=ID or encrypt.key-secret=ID\n";

void image_options_init(struct image_options *options)
{
    *options = (struct image_options){0};
    machine_options_init(&options->machine);
}

void image_options_fail_fill(struct image_options *options, struct error *error, const char *format, ...)
{
    char detail[ERROR_DETAIL_LEN];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof(detail), format, arguments);
    va_end(arguments);
    options->show_hint = true;
    error_fill(error, ERROR_USAGE, NULL, "%s", detail);
}

int image_options_next(struct image_options *options, int argc, char **argv, const char *letters,
                       const struct option *known, struct error *error)
{
    struct error problem = {0};
    int code = options_next(argc, argv, letters, known, &problem);
    if (code == OPTIONS_ERROR) {
        bool is_missing = strcmp(problem.detail, OPTIONS_VALUE_MISSING) == 0;
        image_options_fail_fill(options, error, "%s '%s'",
                                is_missing ? "missing argument for option" : "unrecognized option",
                                strncmp(argv[optind - 1], "--", 2) == 0 ? argv[optind - 1] : problem.place);
    }
    return code;
}

bool image_options_check(struct image_options *options, struct error *error)
{
    struct cache_mode mode;
    const char *output = options->output != NULL ? options->output : "human";
    const char *cache = options->source_cache != NULL ? options->source_cache : "writeback";
    options->want_json = strcmp(output, "json") == 0;
    if (!options->want_json && strcmp(output, "human") != 0) {
        return error_set(error, ERROR_USAGE, NULL, "--output must be used with human or json as argument.");
    }
    return cache_mode_parse(cache, &mode) ||
           error_set(error, ERROR_USAGE, NULL, "Invalid source cache option: %s", cache);
}

static bool object_take(struct image_options *options, const char *value, struct error *error)
{
    const char *help = secret_text_help(value);
    if (help != NULL) {
        options->object_help = options->object_help != NULL ? options->object_help : help;
        options->machine.want_help = true;
        return true;
    }
    RETURN_IF_FAILED(secret_text_check(value, error));
    if (options->object_count == IMAGE_OBJECT_MAX) { /* all of them are there before one is hidden */
        return error_set(error, ERROR_USAGE, "--object", "more than %u objects", IMAGE_OBJECT_MAX);
    }
    options->objects[options->object_count++] = value;
    return true;
}

bool image_options_hide_objects(struct image_options *options, struct error *error)
{
    bool success = true;
    for (unsigned int i = 0; i < options->object_count; i++) {
        char *moved = secret_text_move((char *)(uintptr_t)options->objects[i], error); /* arguments are writable */
        success = success && moved != NULL;
        if (moved != NULL) {
            options->hidden[options->hidden_count++] = moved;
        }
    }
    options->object_count = 0;
    return success;
}

static void hidden_release(struct image_options *options)
{
    for (unsigned int i = 0; i < options->hidden_count; i++) {
        secret_text_release(options->hidden[i]);
    }
    options->hidden_count = 0;
}

bool image_options_take_objects(struct image_options *options, struct error *error)
{
    bool success = image_options_hide_objects(options, error);
    for (unsigned int i = 0; i < options->hidden_count; i++) {
        success = success && secret_store_take(&options->secrets, options->hidden[i], error);
    }
    hidden_release(options);
    return success;
}

void image_options_drop_objects(struct image_options *options)
{
    hidden_release(options);
    secret_store_release(&options->secrets);
}

bool image_options_take(struct image_options *options, int code, const char *value, struct error *error)
{
    switch (code) {
    case 'f':
        options->format = value;
        return true;
    case 'h':
        options->machine.want_help = true;
        return true;
    case 'p':
        options->want_progress = true;
        return true;
    case 'q':
        options->is_quiet = true;
        return true;
    case 'T':
        options->source_cache = value;
        return true;
    case 'U':
        options->force_share = true;
        return true;
    case OPTION_OBJECT:
        return object_take(options, value, error);
    case OPTION_IMAGE_OPTS:
        options->use_image_opts = true;
        return true;
    case OPTION_DATA_FILE:
        options->data_file = value;
        return value[0] != '\0' || error_set(error, ERROR_USAGE, "--data-file", "the name of the file is empty");
    case OPTION_OUTPUT:
        options->output = value;
        return true;
    default:
        return machine_options_take(&options->machine, code, value, error);
    }
}

bool size_argument_parse(const char *what, const char *text, uint64_t *ret_len, struct error *error)
{
    uint64_t len;
    enum size_text reading = size_read_loosely(text, &len);
    if (reading == SIZE_MALFORMED) {
        return error_set(error, ERROR_USAGE, NULL, "Invalid %s specified. " SIZE_UNITS_FIRST " " SIZE_UNITS_SECOND,
                         what);
    }
    if (reading == SIZE_TOO_LARGE || len > INT64_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "Invalid %s specified. Must be between 0 and %lld.", what,
                         (long long)INT64_MAX);
    }
    *ret_len = len;
    return true;
}

bool cache_mode_parse(const char *text, struct cache_mode *ret_mode)
{
    static const struct {
        const char *name;
        struct cache_mode mode;
    } modes[] = {
        {"none", {.is_direct = true}},
        {"off", {.is_direct = true}},
        {"directsync", {.is_direct = true, .is_synced = true}},
        {"writethrough", {.is_synced = true}},
        {"writeback", {0}},
        {"unsafe", {0}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(modes); i++) {
        if (strcmp(text, modes[i].name) == 0) {
            *ret_mode = modes[i].mode;
            return true;
        }
    }
    return false;
}
