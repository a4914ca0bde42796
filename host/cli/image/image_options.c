/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/image_options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "host/cli/numbers.h"
#include "host/cli/options.h"

const char image_options_help[] =
    "  --image-opts             images are named by driver=FORMAT,file.filename=PATH instead of a path\n"
    "  --object secret,...      accepted; encrypted images cannot be read yet\n";

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
                                is_missing ? "missing argument for option" : "unrecognized option", problem.place);
    }
    return code;
}

/*
 * An object of QEMU, as clients pass it for encrypted images. Only secrets are known; what they are for cannot be
 * read yet, and says so itself.
 */
static bool object_take(const char *value, struct error *error)
{
    int type_len = (int)strcspn(value, ",");
    if (value[0] == '{' || strncmp(value, "secret,", 7) == 0 || strncmp(value, "qom-type=secret,", 16) == 0) {
        return true;
    }
    return error_set(error, ERROR_USAGE, NULL, "invalid object type: %.*s", type_len, value);
}

static bool output_take(struct image_options *options, const char *value, struct error *error)
{
    options->want_json = strcmp(value, "json") == 0;
    return options->want_json || strcmp(value, "human") == 0 ||
           error_set(error, ERROR_USAGE, NULL, "--output must be used with human or json as argument.");
}

bool image_options_take(struct image_options *options, int code, const char *value, struct error *error)
{
    struct cache_mode mode;
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
        return cache_mode_parse(value, &mode) ||
               error_set(error, ERROR_USAGE, NULL, "Invalid source cache option: %s", value);
    case 'U':
        options->force_share = true;
        return true;
    case OPTION_OBJECT:
        return object_take(value, error);
    case OPTION_IMAGE_OPTS:
        options->use_image_opts = true;
        return true;
    case OPTION_OUTPUT:
        return output_take(options, value, error);
    default:
        return machine_options_take(&options->machine, code, value, error);
    }
}

bool size_argument_parse(const char *what, const char *text, uint64_t *ret_len, struct error *error)
{
    uint64_t len;
    if (!size_parse(text, &len)) {
        return error_set(error, ERROR_USAGE, NULL,
                         "Invalid %s specified. You may use k, M, G, T, P or E suffixes for kilobytes, megabytes, "
                         "gigabytes, terabytes, petabytes and exabytes.",
                         what);
    }
    if (len > INT64_MAX) {
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
