/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/image_name.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"
#include "host/cli/image/image_path.h"
#include "host/cli/image/json_dialect.h"
#include "host/cli/image/key_values.h"
#include "host/cli/image/node_options.h"

/* Objects in each other, in json:{...}, and a value in the last; a qcow2 image in a part of a file needs three. */
#define JSON_DEPTH_MAX 5u
#define KEY_LEN_MAX 128u

static bool format_take(struct image_name *name, const char *format, struct error *error)
{
    if (format[0] == '\0' || strlen(format) >= IMAGE_FORMAT_LEN) {
        return error_set(error, ERROR_USAGE, NULL, "Unknown driver '%s'", format);
    }
    if (node_driver_is_file(format)) {
        name->shown_format = format[0] == 'f' ? "file" : "host_device";
        name->file_driver = name->shown_format;
        format = "raw";
    }
    snprintf(name->format, sizeof(name->format), "%s", format);
    return true;
}

static bool path_take(struct image_name *name, const char *path, struct error *error)
{
    /* So that the name stays one wherever it is shown, and can be given again. */
    bool has_protocol = image_path_has_protocol((struct span){(const uint8_t *)path, strlen(path)});
    size_t room = strlen(path) + sizeof("./");
    name->path = malloc(room);
    if (name->path != NULL) {
        snprintf(name->path, room, "%s%s", has_protocol ? "./" : "", path);
    }
    return name->path != NULL || error_set(error, ERROR_HOST, NULL, "out of memory");
}

/* The data file: a file as it is, as the user names it. */
static bool data_file_take(struct image_name *name, const struct key_values *options, struct error *error)
{
    static const char prefix[] = "data-file.";
    const char *driver = key_values_find(options, "data-file.driver");
    const char *path = key_values_find(options, "data-file.filename");
    bool has_options = false;
    for (unsigned int i = 0; i < options->count; i++) {
        has_options = has_options || strncmp(options->pairs[i].key, prefix, strlen(prefix)) == 0;
    }
    if (driver != NULL && strcmp(driver, "file") != 0) {
        return error_set(error, ERROR_USAGE, NULL, "The driver '%s' for \"data-file\" is not supported", driver);
    }
    if (has_options && (path == NULL || path[0] == '\0')) {
        return error_set(error, ERROR_USAGE, NULL, "The 'file' block driver requires a file name");
    }
    name->data_file = path != NULL ? strdup(path) : NULL;
    return path == NULL || name->data_file != NULL || error_set(error, ERROR_HOST, NULL, "out of memory");
}

static bool options_take(struct image_name *name, const struct key_values *options, struct error *error)
{
    const char *driver = key_values_find(options, "driver");
    bool is_file = driver != NULL && node_driver_is_file(driver);
    bool is_within = !is_file && image_window_is_node(options); /* the file is behind a node of its own */
    const char *node = key_values_find(options, is_within ? "file.file" : "file");
    const char *file_driver = key_values_find(options, is_within ? "file.file.driver" : "file.driver");
    const char *path = key_values_find(options, is_file     ? "filename"
                                                : is_within ? "file.file.filename"
                                                            : "file.filename");
    if (!is_file && file_driver != NULL && !node_driver_is_file(file_driver)) {
        return error_set(error, ERROR_USAGE, NULL, "The driver '%s' for \"file\" is not supported", file_driver);
    }
    if (path == NULL && !is_file && node != NULL) {
        return error_set(error, ERROR_USAGE, NULL, "Cannot find device='%s' nor node-name='%s'", node, node);
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
        RETURN_IF_FAILED(node_option_take(name, &options->pairs[i], driver, is_within, error));
    }
    if (file_driver != NULL) {
        name->file_driver = file_driver[0] == 'f' ? "file" : "host_device";
    }
    if (driver != NULL && name->format[0] != '\0') {
        return error_set(error, ERROR_USAGE, NULL, "Driver specified twice");
    }
    if (driver != NULL) {
        RETURN_IF_FAILED(format_take(name, driver, error));
    }
    return data_file_take(name, options, error) && path_take(name, path, error) &&
           image_window_take(&name->window, options, driver, name->file_driver, path, error);
}

/* A value that is neither object nor list, as text. "backing" without a value is the empty text, as QEMU has had it. */
static bool json_value_add(struct key_values *options, const char *key, const json_t *value, struct error *error)
{
    char number[32];
    if (strcmp(key, "driver") == 0 && !json_is_string(value)) {
        return true; /* QEMU sees none then */
    }
    switch (json_typeof(value)) {
    case JSON_STRING:
        return key_values_add(options, key, json_string_value(value), error);
    case JSON_INTEGER:
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        RETURN_IF_FAILED(key_values_add(options, key, number, error));
        options->pairs[options->count - 1].is_number = true;
        return true;
    case JSON_REAL:
        snprintf(number, sizeof(number), "%.17g", json_real_value(value));
        return key_values_add(options, key, number, error);
    case JSON_TRUE:
        return key_values_add(options, key, "on", error);
    case JSON_FALSE:
        return key_values_add(options, key, "off", error);
    case JSON_NULL:
        if (strcmp(key, "backing") == 0) {
            return key_values_add(options, key, "", error);
        }
        return true; /* the same as without it */
    case JSON_OBJECT:
    case JSON_ARRAY:
    default:
        return error_set(error, ERROR_USAGE, NULL, "The option '%s' is not supported", key);
    }
}

static bool json_flatten(struct key_values *options, const char *key, const json_t *value, unsigned int depth,
                         struct error *error);

/* Objects and lists become keys with dots. */
static bool json_part_flatten(struct key_values *options, const char *prefix, const char *key, const json_t *value,
                              unsigned int depth, struct error *error)
{
    char whole_key[KEY_LEN_MAX];
    int len = snprintf(whole_key, sizeof(whole_key), "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", key);
    if (len < 0 || (size_t)len >= sizeof(whole_key)) {
        return error_set(error, ERROR_USAGE, NULL, "The option '%s' is not supported", key);
    }
    return json_flatten(options, whole_key, value, depth, error);
}

/* Recursion is bounded by JSON_DEPTH_MAX. */
static bool json_flatten(struct key_values *options, const char *key, const json_t *value, unsigned int depth,
                         struct error *error)
{
    const char *part_key;
    json_t *part;
    size_t i;
    if (depth > JSON_DEPTH_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "Objects are nested too deeply");
    }
    if (json_object_size(value) == 0 && json_array_size(value) == 0) {
        return json_value_add(options, key, value, error);
    }
    json_object_foreach((json_t *)value, part_key, part)
    {
        RETURN_IF_FAILED(json_part_flatten(options, key, part_key, part, depth + 1, error));
    }
    json_array_foreach(value, i, part)
    {
        char number[24];
        snprintf(number, sizeof(number), "%zu", i);
        RETURN_IF_FAILED(json_part_flatten(options, key, number, part, depth + 1, error));
    }
    return true;
}

static bool json_parse(struct image_name *name, const char *text, struct error *error)
{
    json_t *root;
    struct error problem = {0};
    if (!json_dialect_parse(text, &root, &problem)) {
        return error_set(error, ERROR_USAGE, NULL, "Could not parse the JSON options: %s", problem.detail);
    }
    struct key_values options = {0};
    bool success = json_is_object(root) || error_set(error, ERROR_USAGE, NULL, "Invalid JSON object given");
    success = success && (json_object_size(root) == 0 || json_flatten(&options, "", root, 1, error)) &&
              options_take(name, &options, error);
    key_values_release(&options);
    json_decref(root);
    return success;
}

bool image_name_is_writable(const struct image_name *name, struct error *error)
{
    return !name->window.is_set || error_set(error, ERROR_UNSUPPORTED, NULL,
                                             "Writing to a part of a file (\"offset\", \"size\") is not supported");
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
    if (!node_driver_is_file(protocol)) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Unknown protocol '%s'", protocol);
    }
    name->file_driver = protocol[0] == 'f' ? "file" : "host_device";
    const char *path = text + protocol_len + 1;
    return path[0] != '\0'
               ? path_take(name, path, error)
               : error_set(error, ERROR_USAGE, NULL, "The '%s' block driver requires a file name", protocol);
}

bool image_name_parse(struct image_name *ret_name, const char *text, const char *format, struct error *error)
{
    struct image_name name = {.text = text};
    if (format != NULL) {
        RETURN_IF_FAILED(format_take(&name, format, error));
    }
    if (!text_parse(&name, text, error)) {
        image_name_release(&name);
        return false;
    }
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
    if (!success) {
        image_name_release(&name);
        return false;
    }
    *ret_name = name;
    return true;
}

void image_name_release(struct image_name *name)
{
    free(name->path);
    free(name->data_file);
    image_window_release(&name->window);
    name->path = NULL;
    name->data_file = NULL;
}
