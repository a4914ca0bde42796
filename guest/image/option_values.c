/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/option_values.h"

#include <string.h>

#include "base/number_text.h"

bool option_size(const instar_FormatOption *option, uint64_t *ret_len, struct error *error)
{
    return size_parse(option->value, ret_len) ||
           error_set_reason(error, ERROR_REASON_NUMBER, ERROR_USAGE, NULL,
                            "Parameter '%s' expects a non-negative number below 2^64", option->name);
}

bool option_number(const instar_FormatOption *option, uint64_t *ret_number, struct error *error)
{
    return number_parse(option->value, ret_number) || error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL,
                                                                       "Parameter '%s' expects a number", option->name);
}

bool option_flag(const instar_FormatOption *option, bool *ret_flag, struct error *error)
{
    static const struct {
        const char *text;
        bool flag;
    } words[] = {
        {"on", true},   {"yes", true}, {"true", true},   {"y", true},
        {"off", false}, {"no", false}, {"false", false}, {"n", false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (strcmp(option->value, words[i].text) == 0) {
            *ret_flag = words[i].flag;
            return true;
        }
    }
    return error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL, "Parameter '%s' expects 'on' or 'off'",
                            option->name);
}

bool option_choice(const instar_FormatOption *option, const char *const *values, const char *shown_name,
                   uint32_t *ret_index, struct error *error)
{
    for (uint32_t i = 0; values[i] != NULL; i++) {
        if (strcmp(option->value, values[i]) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL, "Parameter '%s' does not accept value '%s'",
                            shown_name, option->value);
}

bool options_check_file_preallocation(const instar_FormatOption *options, uint32_t count, const struct file *file,
                                      struct error *error)
{
    const instar_FormatOption *option = options_find(options, count, "preallocation");
    if (option == NULL || strcmp(option->value, "off") == 0) {
        return true;
    }
    bool is_metadata = strcmp(option->value, "metadata") == 0;
    if (!is_metadata && strcmp(option->value, "falloc") != 0 && strcmp(option->value, "full") != 0) {
        return error_set(error, ERROR_USAGE, NULL, "invalid parameter value: %s", option->value);
    }
    if (file != NULL && !file->is_resizable) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Unsupported preallocation mode '%s'", option->value);
    }
    return !is_metadata || error_set(error, ERROR_USAGE, NULL, "Unsupported preallocation mode: metadata");
}

bool option_unknown(const instar_FormatOption *option, struct error *error)
{
    return error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL, "Invalid parameter '%s'", option->name);
}

static bool check_value(const instar_FormatOption *option, enum option_type type, struct error *error)
{
    uint64_t number;
    bool flag;
    switch (type) {
    case OPTION_TEXT:
        return true;
    case OPTION_FLAG:
        return option_flag(option, &flag, error);
    case OPTION_NUMBER:
        return option_number(option, &number, error);
    case OPTION_SIZE:
        return option_size(option, &number, error);
    }
    return false;
}

bool options_check(const instar_FormatOption *options, uint32_t count, const struct option_description *descriptions,
                   struct error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct option_description *description = descriptions;
        while (description->name != NULL && strcmp(description->name, options[i].name) != 0) {
            description++;
        }
        if (description->name == NULL || description->stage == OPTION_STAGE_AMEND) {
            return option_unknown(&options[i], error);
        }
        RETURN_IF_FAILED(check_value(&options[i], description->type, error));
    }
    return true;
}

const instar_FormatOption *options_find(const instar_FormatOption *options, uint32_t count, const char *name)
{
    const instar_FormatOption *found = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(options[i].name, name) == 0) {
            found = &options[i];
        }
    }
    return found;
}
