/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/values/key_values.h"

#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"
#include "base/number_text.h"

/* Takes ownership of both. */
static bool pair_append(struct key_values *list, char *key, char *value, struct error *error)
{
    const char *problem = NULL;
    if (key == NULL || value == NULL) {
        problem = "out of memory";
    } else if (list->count == KEY_VALUES_MAX) {
        problem = "too many options";
    }
    if (problem != NULL) {
        free(key);
        free(value);
        return error_set(error, ERROR_USAGE, NULL, "%s", problem);
    }
    list->pairs[list->count++] = (struct key_value){.key = key, .value = value};
    return true;
}

bool key_values_add(struct key_values *list, const char *key, const char *value, struct error *error)
{
    return pair_append(list, strdup(key), strdup(value), error);
}

bool key_values_add_below(struct key_values *list, const struct key_values *from, const char *prefix,
                          struct error *error)
{
    size_t len = strlen(prefix);
    for (unsigned int i = 0; i < from->count; i++) {
        const struct key_value *pair = &from->pairs[i];
        if (strncmp(pair->key, prefix, len) == 0) {
            RETURN_IF_FAILED(key_values_add(list, pair->key + len, pair->value, error));
            struct key_value *copy = &list->pairs[list->count - 1];
            copy->is_number = pair->is_number;
            copy->is_not_text = pair->is_not_text;
            copy->is_null = pair->is_null;
            copy->is_ignored = pair->is_ignored;
        }
    }
    return true;
}

/* Copies a value up to the comma that ends it, and sets *ret_end to that, or to the end of the text. */
static char *value_copy(const char *text, const char **ret_end)
{
    char *value = malloc(strlen(text) + 1);
    size_t len = 0;
    while (*text != '\0' && (*text != ',' || text[1] == ',')) {
        text += *text == ',' ? 1 : 0;
        if (value != NULL) {
            value[len++] = *text;
        }
        text++;
    }
    if (value != NULL) {
        value[len] = '\0';
    }
    *ret_end = text;
    return value;
}

bool key_values_parse(struct key_values *list, const char *text, struct error *error)
{
    while (*text != '\0') { /* ends with the text: each round takes a part of it */
        size_t key_len = strcspn(text, "=,");
        if (text[key_len] == '=') {
            char *key = strndup(text, key_len);
            char *value = value_copy(text + key_len + 1, &text);
            RETURN_IF_FAILED(pair_append(list, key, value, error));
        } else {
            bool is_off = key_len > 2 && strncmp(text, "no", 2) == 0;
            char *key = is_off ? strndup(text + 2, key_len - 2) : strndup(text, key_len);
            RETURN_IF_FAILED(pair_append(list, key, strdup(is_off ? "off" : "on"), error));
            text += key_len;
        }
        text += *text == ',' ? 1 : 0;
    }
    return true;
}

bool key_values_parse_implied(struct key_values *list, const char *text, const char *key, struct error *error)
{
    if (*text != '\0' && text[strcspn(text, "=,")] != '=') {
        char *value = value_copy(text, &text);
        RETURN_IF_FAILED(pair_append(list, strdup(key), value, error));
        text += *text == ',' ? 1 : 0;
    }
    return key_values_parse(list, text, error);
}

void key_values_release(struct key_values *list)
{
    for (unsigned int i = 0; i < list->count; i++) {
        free(list->pairs[i].key);
        free(list->pairs[i].value);
    }
    list->count = 0;
}

const struct key_value *key_values_find_pair(const struct key_values *list, const char *key)
{
    for (unsigned int i = list->count; i > 0; i--) {
        if (!list->pairs[i - 1].is_ignored && strcmp(list->pairs[i - 1].key, key) == 0) {
            return &list->pairs[i - 1];
        }
    }
    return NULL;
}

const char *key_values_find(const struct key_values *list, const char *key)
{
    const struct key_value *pair = key_values_find_pair(list, key);
    return pair != NULL ? pair->value : NULL;
}

bool key_value_is_switch(const char *value, bool *ret_is_on)
{
    static const char *const on[] = {"on", "yes", "true", "y"};
    static const char *const off[] = {"off", "no", "false", "n"};
    for (size_t i = 0; i < ARRAY_COUNT(on); i++) {
        bool is_on = strcmp(value, on[i]) == 0;
        if (is_on || strcmp(value, off[i]) == 0) {
            *ret_is_on = is_on;
            return true;
        }
    }
    return false;
}

bool size_value_parse(const char *key, const char *value, uint64_t *ret_len, struct error *error)
{
    enum size_text reading = size_read_loosely(value, ret_len);
    if (reading == SIZE_TOO_LARGE) {
        return error_set(error, ERROR_USAGE, NULL, "Value '%.100s' is out of range for parameter '%s'", value, key);
    }
    return reading == SIZE_SOUND || error_set_reason(error, ERROR_REASON_NUMBER, ERROR_USAGE, NULL,
                                                     "Parameter '%s' expects a non-negative number below 2^64", key);
}
