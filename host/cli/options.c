/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "host/cli/numbers.h"

#define NAME_LEN 64

static bool is_long(const char *argument)
{
    return argument[0] == '-' && argument[1] == '-';
}

/* The option that getopt stumbled over, as the user typed it, without its value. */
static void culprit_name(char name[NAME_LEN], char **argv)
{
    const char *argument = argv[optind - 1];
    if (optopt > 0 && optopt < 256 && !is_long(argument)) {
        snprintf(name, NAME_LEN, "-%c", optopt);
    } else {
        snprintf(name, NAME_LEN, "%.*s", (int)strcspn(argument, "="), argument);
    }
}

static bool code_is_known(int code, const struct option *options)
{
    for (; options->name != NULL; options++) {
        if (options->val == code) {
            return true;
        }
    }
    return false;
}

int options_next(int argc, char **argv, const char *letters, const struct option *options, struct error *error)
{
    opterr = 0;
    optopt = 0;
    int code = getopt_long(argc, argv, letters, options, NULL);
    if (code != '?' && code != ':') {
        return code;
    }
    char name[NAME_LEN];
    culprit_name(name, argv);
    if (code == ':') {
        error_fill(error, ERROR_USAGE, name, OPTIONS_VALUE_MISSING);
    } else if (optopt != 0 && code_is_known(optopt, options)) {
        error_fill(error, ERROR_USAGE, name, "takes no value");
    } else {
        error_fill(error, ERROR_USAGE, name, "unknown option");
    }
    return OPTIONS_ERROR;
}

bool option_number_parse(const char *name, const char *text, uint32_t min, uint32_t max, uint32_t *ret_number,
                         struct error *error)
{
    uint64_t number;
    if (!number_parse(text, &number) || number < min || number > max) {
        return error_set(error, ERROR_USAGE, name, "%s is not a number from %" PRIu32 " to %" PRIu32, text, min, max);
    }
    *ret_number = (uint32_t)number;
    return true;
}

bool option_power_parse(const char *name, const char *text, uint32_t min, uint32_t max, uint32_t *ret_len,
                        struct error *error)
{
    uint64_t len;
    if (!size_parse(text, &len) || len < min || len > max || !is_power_of_two(len)) {
        return error_set(error, ERROR_USAGE, name, "%s is not a power of two from %" PRIu32 " to %" PRIu32, text, min,
                         max);
    }
    *ret_len = (uint32_t)len;
    return true;
}
