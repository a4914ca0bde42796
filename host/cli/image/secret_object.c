/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/secret_object.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/cli/image/key_values.h"
#include "host/cli/reach.h"

static bool json_read(struct key_values *list, const char *text, struct error *error)
{
    json_error_t json_error;
    const char *key;
    json_t *value;
    bool success = true;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &json_error);
    if (root == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "JSON parse error, %s", json_error.text);
    }
    json_object_foreach(root, key, value)
    {
        success = success &&
                  (json_is_string(value) ||
                   error_set(error, ERROR_USAGE, NULL, "Invalid parameter type for '%s', expected: string", key)) &&
                  key_values_add(list, key, json_string_value(value), error);
    }
    json_decref(root);
    return success;
}

/* "secret,id=...": the type is the one key that may be left out. */
static bool text_read(struct key_values *list, const char *text, struct error *error)
{
    size_t first_len = strcspn(text, "=,");
    if (first_len > 0 && text[first_len] != '=') {
        char *type = strndup(text, first_len);
        bool success = type != NULL ? key_values_add(list, "qom-type", type, error)
                                    : error_set(error, ERROR_HOST, NULL, "out of memory");
        free(type);
        RETURN_IF_FAILED(success);
        text += first_len + (text[first_len] == ',' ? 1 : 0);
    }
    return key_values_parse(list, text, error);
}

static bool id_check(const char *id, struct error *error)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char others[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    if (id == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "Parameter 'id' is missing");
    }
    return (strspn(id, letters) > 0 && id[strspn(id, others)] == '\0') ||
           error_set(error, ERROR_USAGE, NULL, "Parameter 'id' expects an identifier");
}

static bool keys_check(const struct key_values *list, struct error *error)
{
    static const char *const keys[] = {"qom-type", "id", "data", "file", "format", "keyid", "iv"};
    for (unsigned int i = 0; i < list->count; i++) {
        bool is_known = false;
        for (size_t k = 0; k < ARRAY_COUNT(keys); k++) {
            is_known = is_known || strcmp(list->pairs[i].key, keys[k]) == 0;
        }
        if (!is_known) {
            return error_set(error, ERROR_USAGE, NULL, "Parameter '%s' is unexpected", list->pairs[i].key);
        }
    }
    return true;
}

static bool check(const struct key_values *list, struct error *error)
{
    const char *type = key_values_find(list, "qom-type");
    const char *data = key_values_find(list, "data");
    const char *file = key_values_find(list, "file");
    const char *format = key_values_find(list, "format");
    if (type == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "Parameter 'qom-type' is missing");
    }
    if (strcmp(type, "secret") != 0) {
        return error_set(error, ERROR_USAGE, NULL, "Parameter 'qom-type' does not accept value '%s'", type);
    }
    RETURN_IF_FAILED(id_check(key_values_find(list, "id"), error) && keys_check(list, error));
    if (format != NULL && strcmp(format, "raw") != 0 && strcmp(format, "base64") != 0) {
        return error_set(error, ERROR_USAGE, NULL, "Parameter 'format' does not accept value '%s'", format);
    }
    if (data == NULL && file == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "Either 'file' or 'data' must be provided");
    }
    if (data != NULL && file != NULL) {
        return error_set(error, ERROR_USAGE, NULL, "'file' and 'data' are mutually exclusive");
    }
    return true;
}

static bool file_check(const struct key_values *list, struct error *error)
{
    const char *file = key_values_find(list, "file");
    return file == NULL || reach_access(file, R_OK) ||
           error_set(error, ERROR_IO, NULL, "Unable to read %s: %s", file, strerror(errno));
}

static bool object_look(const char *text, bool (*look)(const struct key_values *list, struct error *error),
                        struct error *error)
{
    struct key_values list = {0};
    bool success =
        (text[0] == '{' ? json_read(&list, text, error) : text_read(&list, text, error)) && look(&list, error);
    key_values_release(&list);
    return success;
}

bool secret_object_check(const char *text, struct error *error)
{
    return object_look(text, check, error);
}

bool secret_object_check_file(const char *text, struct error *error)
{
    return object_look(text, file_check, error);
}
