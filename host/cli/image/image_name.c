/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/image_name.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"
#include "host/cli/image/image_path.h"
#include "host/cli/image/key_values.h"

/* Objects in each other, in json:{...}; a qcow2 image in a file needs two. */
#define JSON_DEPTH_MAX 4u
#define KEY_LEN_MAX 128u

/* QEMU's drivers for a file as it is. To the guest their content is raw. */
static bool is_file_driver(const char *name)
{
    return strcmp(name, "file") == 0 || strcmp(name, "host_device") == 0;
}

static bool format_take(struct image_name *name, const char *format, struct error *error)
{
    if (strlen(format) >= IMAGE_FORMAT_LEN) {
        return error_set(error, ERROR_USAGE, NULL, "Unknown driver '%s'", format);
    }
    if (is_file_driver(format)) {
        name->shown_format = format[0] == 'f' ? "file" : "host_device";
        format = "raw";
    }
    snprintf(name->format, sizeof(name->format), "%s", format);
    return true;
}

static bool path_take(struct image_name *name, const char *path, struct error *error)
{
    name->path = strdup(path);
    return name->path != NULL || error_set(error, ERROR_HOST, NULL, "out of memory");
}

/* What makes no difference here: names for QEMU's own use, and what is about writing. */
static bool is_without_effect(const char *key)
{
    static const char *const keys[] = {"node-name", "read-only", "auto-read-only", "discard", "aio"};
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        if (strcmp(key, keys[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool switch_take(const char *key, const char *value, bool *ret_is_on, struct error *error)
{
    *ret_is_on = strcmp(value, "on") == 0;
    return *ret_is_on || strcmp(value, "off") == 0 ||
           error_set(error, ERROR_USAGE, NULL, "Parameter '%s' expects 'on' or 'off'", key);
}

static bool option_take(struct image_name *name, const struct key_value *option, bool is_file, struct error *error)
{
    const char *key = option->key;
    /* Below "file." is the file of an image, otherwise the image; where that is a file itself, both are one. */
    bool is_below = strncmp(key, "file.", 5) == 0 && !is_file;
    const char *own_key = is_below ? key + 5 : key;
    if (strcmp(own_key, "driver") == 0 || (strcmp(own_key, "filename") == 0 && (is_below || is_file)) ||
        is_without_effect(own_key)) {
        return true;
    }
    if (strcmp(own_key, "force-share") == 0) {
        bool is_on;
        RETURN_IF_FAILED(switch_take(key, option->value, &is_on, error));
        name->force_share = name->force_share || is_on;
        return true;
    }
    if (strcmp(own_key, "locking") == 0 && (is_below || is_file)) {
        name->no_locks = strcmp(option->value, "off") == 0;
        return true;
    }
    return error_set(error, ERROR_USAGE, NULL, "The option '%s' is not supported", key);
}

static bool options_take(struct image_name *name, const struct key_values *options, struct error *error)
{
    const char *driver = key_values_find(options, "driver");
    bool is_file = driver != NULL && is_file_driver(driver);
    const char *file_driver = key_values_find(options, "file.driver");
    const char *path = key_values_find(options, is_file ? "filename" : "file.filename");
    if (!is_file && file_driver != NULL && !is_file_driver(file_driver)) {
        return error_set(error, ERROR_USAGE, NULL, "The driver '%s' for \"file\" is not supported", file_driver);
    }
    if (path == NULL && is_file) {
        return error_set(error, ERROR_USAGE, NULL, "The '%s' block driver requires a file name", driver);
    }
    if (path == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "%s",
                         driver != NULL ? "A block device must be specified for \"file\""
                                        : "Must specify either driver or file");
    }
    for (unsigned int i = 0; i < options->count; i++) {
        RETURN_IF_FAILED(option_take(name, &options->pairs[i], is_file, error));
    }
    if (driver != NULL && name->format[0] != '\0') {
        return error_set(error, ERROR_USAGE, NULL, "Driver specified twice");
    }
    if (driver != NULL) {
        RETURN_IF_FAILED(format_take(name, driver, error));
    }
    return path_take(name, path, error);
}

/* A value of json:{...} as text; objects become keys with dots. Recursion is bounded by JSON_DEPTH_MAX. */
static bool json_flatten(struct key_values *options, const char *prefix, const json_t *object, unsigned int depth,
                         struct error *error)
{
    const char *key;
    json_t *value;
    if (depth > JSON_DEPTH_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "Objects are nested too deeply");
    }
    json_object_foreach((json_t *)object, key, value)
    {
        char whole_key[KEY_LEN_MAX];
        int len = snprintf(whole_key, sizeof(whole_key), "%s%s%s", prefix, key, json_is_object(value) ? "." : "");
        if (len < 0 || (size_t)len >= sizeof(whole_key)) {
            return error_set(error, ERROR_USAGE, NULL, "The option '%s' is not supported", key);
        }
        if (json_is_object(value)) {
            RETURN_IF_FAILED(json_flatten(options, whole_key, value, depth + 1, error));
        } else if (json_is_string(value)) {
            RETURN_IF_FAILED(key_values_add(options, whole_key, json_string_value(value), error));
        } else if (json_is_boolean(value)) {
            RETURN_IF_FAILED(key_values_add(options, whole_key, json_is_true(value) ? "on" : "off", error));
        } else {
            return error_set(error, ERROR_USAGE, NULL, "The option '%s' is not supported", whole_key);
        }
    }
    return true;
}

static bool json_parse(struct image_name *name, const char *text, struct error *error)
{
    json_error_t json_error;
    json_t *root = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &json_error);
    if (root == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "Could not parse the JSON options: %s", json_error.text);
    }
    struct key_values options = {0};
    bool success = json_is_object(root) || error_set(error, ERROR_USAGE, NULL, "Invalid JSON object given");
    success = success && json_flatten(&options, "", root, 1, error) && options_take(name, &options, error);
    key_values_release(&options);
    json_decref(root);
    return success;
}

static bool text_parse(struct image_name *name, const char *text, struct error *error)
{
    if (strncmp(text, "json:", 5) == 0) {
        return json_parse(name, text + 5, error);
    }
    size_t protocol_len = strcspn(text, ":/");
    if (text[protocol_len] != ':') {
        return text[0] != '\0' ? path_take(name, text, error)
                               : error_set(error, ERROR_USAGE, NULL, "The 'file' block driver requires a file name");
    }
    char protocol[IMAGE_FORMAT_LEN];
    snprintf(protocol, sizeof(protocol), "%.*s", (int)protocol_len, text);
    if (!is_file_driver(protocol)) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Unknown protocol '%s'", protocol);
    }
    return path_take(name, text + protocol_len + 1, error);
}

bool image_name_parse(struct image_name *ret_name, const char *text, const char *format, struct error *error)
{
    struct image_name name = {.text = text};
    if (format != NULL) {
        RETURN_IF_FAILED(format_take(&name, format, error));
    }
    RETURN_IF_FAILED(text_parse(&name, text, error));
    *ret_name = name;
    return true;
}

bool image_name_of_path(struct image_name *ret_name, const char *path, const char *format, struct error *error)
{
    struct image_name name = {.text = path};
    RETURN_IF_FAILED((format == NULL || format_take(&name, format, error)) && path_take(&name, path, error));
    *ret_name = name;
    return true;
}

bool image_name_parse_options(struct image_name *ret_name, const char *text, struct error *error)
{
    struct image_name name = {.text = text};
    struct key_values options = {0};
    bool success = key_values_parse(&options, text, error) && options_take(&name, &options, error);
    key_values_release(&options);
    if (success) {
        *ret_name = name;
    }
    return success;
}

void image_name_release(struct image_name *name)
{
    free(name->path);
    name->path = NULL;
}
