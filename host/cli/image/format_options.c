/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/format_options.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "host/cli/image/target_formats.h"

_Static_assert(sizeof(((instar_MeasureRequest *)0)->options) == FORMAT_OPTIONS_MAX * sizeof(instar_FormatOption),
               "a message has room for them");
_Static_assert(sizeof(((instar_ConvertRequest *)0)->options) == FORMAT_OPTIONS_MAX * sizeof(instar_FormatOption),
               "a message has room for them");

bool format_options_take(struct key_values *options, const char *text, struct error *error)
{
    size_t len = strlen(text);
    if (len == 0 || text[0] == ',' || text[len - 1] == ',') {
        return error_set(error, ERROR_USAGE, NULL, "Invalid option list: %s", text);
    }
    return key_values_parse(options, text, error);
}

bool format_options_ask_help(const struct key_values *options)
{
    return key_values_find(options, "help") != NULL || key_values_find(options, "?") != NULL;
}

bool format_options_encode(const struct key_values *options, bool for_guest, instar_FormatOption *target,
                           pb_size_t *ret_count, struct error *error)
{
    pb_size_t count = 0;
    for (unsigned int i = 0; i < options->count; i++) {
        const struct key_value *option = &options->pairs[i];
        bool is_last = key_values_find(options, option->key) == option->value;
        if (!is_last || (for_guest && target_option_is_hosts(option->key))) {
            continue; /* of an option that is given twice, the last one counts */
        }
        if (count == FORMAT_OPTIONS_MAX) {
            return error_set(error, ERROR_USAGE, NULL, "more than %u options of the target", FORMAT_OPTIONS_MAX);
        }
        if (strlen(option->key) >= sizeof(target->name)) {
            return error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL, "Invalid parameter '%s'",
                                    option->key);
        }
        if (strlen(option->value) >= sizeof(target->value)) {
            return error_set(error, ERROR_USAGE, NULL, "the value of '%s' is too long", option->key);
        }
        text_copy(target[count].name, sizeof(target->name), option->key);
        text_copy(target[count].value, sizeof(target->value), option->value);
        count++;
    }
    *ret_count = count;
    return true;
}

/* Nanopb's arrays of bytes differ in type by their room. */
#define CHOICE_SET(field, text) choice_set((field).bytes, &(field).size, sizeof((field).bytes), text)

static bool choice_set(pb_byte_t *bytes, pb_size_t *ret_len, size_t room, const char *text)
{
    size_t len = strlen(text);
    if (len > room) {
        return false;
    }
    memcpy(bytes, text, len);
    *ret_len = (pb_size_t)len;
    return true;
}

static bool choice_take(instar_SnapshotChoice *choice, const struct key_value *option, struct error *error)
{
    bool fits;
    if (strcmp(option->key, "snapshot.id") == 0) {
        fits = CHOICE_SET(choice->id, option->value);
    } else if (strcmp(option->key, "snapshot.name") == 0) {
        fits = CHOICE_SET(choice->name, option->value);
    } else {
        return error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL, "Invalid parameter '%s'", option->key);
    }
    return fits || error_set(error, ERROR_USAGE, NULL, "Failed to load snapshot: Can't find snapshot");
}

bool snapshot_choice_parse(const char *text, instar_SnapshotChoice *ret_choice, struct error *error)
{
    instar_SnapshotChoice choice = {0};
    if (strncmp(text, "snapshot.", 9) != 0) {
        if (!CHOICE_SET(choice.id_or_name, text)) {
            return error_set(error, ERROR_USAGE, NULL, "Failed to load snapshot: Can't find snapshot");
        }
        *ret_choice = choice;
        return true;
    }
    struct key_values options = {0};
    bool success = key_values_parse(&options, text, error);
    for (unsigned int i = 0; success && i < options.count; i++) {
        success = choice_take(&choice, &options.pairs[i], error);
    }
    key_values_release(&options);
    if (success) {
        *ret_choice = choice;
    }
    return success;
}
