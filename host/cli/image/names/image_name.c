/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/names/image_name.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"
#include "host/cli/image/names/image_driver.h"
#include "host/cli/image/names/image_node.h"
#include "host/cli/image/names/image_path.h"
#include "host/cli/image/names/node_names.h"
#include "host/cli/image/names/node_options.h"
#include "host/cli/image/values/json_dialect.h"
#include "host/cli/image/values/key_values.h"
#include "host/cli/image/values/value_tree.h"

/* Objects in each other, in json:{...}, and a value in the last: all images that may be behind each other, and a file.
 */
#define READ_ONLY_PROBLEM "Block node is read-only"
#define JSON_DEPTH_MAX (IMAGE_BEHIND_MAX + 6u)
#define KEY_LEN_MAX 384u

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

static bool is_below(const char *key, const char *prefix)
{
    return strncmp(key, prefix, strlen(prefix)) == 0;
}

static bool has_below(const struct key_values *options, const char *prefix)
{
    for (unsigned int i = 0; i < options->count; i++) {
        if (is_below(options->pairs[i].key, prefix)) {
            return true;
        }
    }
    return false;
}

/* The data file: a file as it is, as the user names it. */
static bool data_file_take(struct image_name *name, const struct key_values *options, struct error *error)
{
    const char *driver = key_values_find(options, "data-file.driver");
    const char *path = key_values_find(options, "data-file.filename");
    if (driver != NULL && strcmp(driver, "file") != 0) {
        return error_set(error, ERROR_USAGE, NULL, "The driver '%s' for \"data-file\" is not supported", driver);
    }
    if (has_below(options, "data-file.") && (path == NULL || path[0] == '\0')) {
        return error_set(error, ERROR_USAGE, NULL, "The 'file' block driver requires a file name");
    }
    name->data_file = path != NULL ? strdup(path) : NULL;
    return path == NULL || name->data_file != NULL || error_set(error, ERROR_HOST, NULL, "out of memory");
}

/* A header in a file of its own: a file as it is, in a raw node or not. */
static bool header_take(struct image_name *name, const struct key_values *options, struct error *error)
{
    const char *driver = key_values_find(options, "header.driver");
    bool is_raw = driver != NULL && strcmp(driver, "raw") == 0;
    const char *path = key_values_find(options, is_raw ? "header.file.filename" : "header.filename");
    if (!has_below(options, "header.")) {
        return true;
    }
    if (!is_raw && driver != NULL && !node_driver_is_file(driver)) {
        return error_set(error, ERROR_USAGE, NULL, "The driver '%s' for \"header\" is not supported", driver);
    }
    if (path == NULL || path[0] == '\0') {
        return error_set(error, ERROR_USAGE, NULL, "The 'file' block driver requires a file name");
    }
    name->header = calloc(1, sizeof(*name->header));
    if (name->header == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    name->header->text = name->text;
    return format_take(name->header, "raw", error) && path_take(name->header, path, error);
}

static bool options_take(struct image_name *name, const struct key_values *options, struct error *error);

/* Whether "file" is an image: of a format, or a part of which this is a part. */
static bool file_is_image(const struct key_values *options)
{
    const char *driver = key_values_find(options, "file.driver");
    const char *below = key_values_find(options, "file.file.driver");
    if (driver == NULL || node_driver_is_file(driver) || image_driver_find(driver) == NULL) {
        return false;
    }
    if (strcmp(driver, "raw") != 0) {
        return true;
    }
    bool is_part = key_values_find(options, "offset") != NULL || key_values_find(options, "size") != NULL;
    bool has_part = key_values_find(options, "file.offset") != NULL || key_values_find(options, "file.size") != NULL;
    return (is_part && has_part) || (below != NULL && !node_driver_is_file(below) && image_driver_find(below) != NULL);
}

/* The first one of the options that begin with `prefix`, in the order of QEMU's dictionary. */
static void first_key_find(const struct key_values *options, const char *prefix, char *key, size_t room)
{
    struct value_tree tree;
    value_tree_init(&tree);
    for (unsigned int i = 0; i < options->count; i++) {
        if (is_below(options->pairs[i].key, prefix)) {
            value_add_bool(&tree, &tree.root, options->pairs[i].key, true); /* a second one of a name: no harm */
        }
    }
    snprintf(key, room, "%s", tree.root.first != NULL ? tree.root.first->key : prefix);
    value_tree_release(&tree);
}

/* "backing": an image of its own. */
static bool backing_take(struct image_name *name, const struct key_values *options, const char *driver,
                         struct error *error)
{
    struct key_values inner = {0};
    struct error problem = {0};
    const struct image_driver *known = driver != NULL ? image_driver_find(driver) : NULL;
    bool success = key_values_add_below(&inner, options, "backing.", error);
    if (!success || inner.count == 0) {
        key_values_release(&inner);
        return success;
    }
    if (name->leaves_backing) {
        first_key_find(options, "backing.", name->backing_key, sizeof(name->backing_key));
        key_values_release(&inner);
        return true;
    }
    struct image_name *backing = calloc(1, sizeof(*backing));
    if (known != NULL && (known->nodes & DRIVER_NODE_BACKED) == 0) {
        error_fill(error, ERROR_USAGE, NULL, "Driver doesn't support backing files");
    } else if (backing == NULL) {
        error_fill(error, ERROR_HOST, NULL, "out of memory");
    } else if (name->behind_count == IMAGE_BEHIND_MAX) {
        error_fill(error, ERROR_LIMIT, NULL, "more than %u images behind each other", IMAGE_BEHIND_MAX);
    } else {
        backing->text = name->text;
        backing->behind_count = name->behind_count + 1;
        success = options_take(backing, &inner, &problem); /* recursion: IMAGE_BEHIND_MAX */
        if (success) {
            name->backing = backing;
            key_values_release(&inner);
            return true;
        }
        error_fill(error, problem.kind, NULL, IMAGE_BACKING_PROBLEM "%.150s", problem.detail);
    }
    if (backing != NULL) {
        image_name_release(backing);
    }
    free(backing);
    key_values_release(&inner);
    return false;
}

/* Of an image, and of the file in it; NULL: none is named. Names that QEMU does not know either are told in its words.
 */
static bool drivers_check(const char *driver, const char *file_driver, struct error *error)
{
    if (driver != NULL && image_driver_find(driver) == NULL) {
        return image_driver_is_of_qemu(driver)
                   ? error_set(error, ERROR_UNSUPPORTED, NULL, "The driver '%s' is not supported", driver)
                   : error_set(error, ERROR_USAGE, NULL, "Unknown driver '%s'", driver);
    }
    if (file_driver == NULL || node_driver_is_file(file_driver)) {
        return true;
    }
    bool is_known = image_driver_find(file_driver) != NULL || image_driver_is_of_qemu(file_driver);
    return error_set(error, ERROR_USAGE, NULL,
                     is_known ? "The driver '%s' for \"file\" is not supported" : "Unknown driver '%s'", file_driver);
}

/* What the user says of the disk of the image in "file" as a part, or as the file of another image. */
static bool layer_options_take(struct image_name *name, struct image_layer *layer, const struct key_values *options,
                               const char *driver, struct error *error)
{
    struct image_name own = {
        .text = name->text, .behind_count = name->behind_count, .leaves_backing = name->leaves_backing};
    for (unsigned int i = 0; i < options->count; i++) {
        const char *key = options->pairs[i].key;
        if (!is_below(key, "file.") && !is_below(key, "backing.")) {
            RETURN_IF_FAILED(node_option_take(&own, &options->pairs[i], driver, false, error));
        }
    }
    name->is_read_only = name->is_read_only || own.is_read_only;
    name->force_share = name->force_share || own.force_share;
    name->is_direct = name->is_direct || own.is_direct;
    name->has_empty_backing = name->has_empty_backing || own.has_empty_backing;
    RETURN_IF_FAILED(backing_take(&own, options, driver, error));
    memcpy(name->backing_key, own.backing_key, sizeof(name->backing_key));
    if (!layer->is_image) {
        return true;
    }
    snprintf(layer->format, sizeof(layer->format), "%s", driver != NULL ? driver : "");
    snprintf(layer->key_secret, sizeof(layer->key_secret), "%s", own.key_secret);
    snprintf(layer->key_format, sizeof(layer->key_format), "%s", own.key_format);
    layer->has_key_secret = own.has_key_secret;
    layer->without_backing = own.without_backing;
    layer->backing = own.backing;
    return true;
}

/* A node over the image in "file". Recursion: each round takes a "file." off the keys. */
static bool layer_take(struct image_name *name, const struct key_values *options, const char *given_driver,
                       struct error *error)
{
    char format[IMAGE_FORMAT_LEN]; /* `given_driver` may lie in the name */
    const char *driver = given_driver != NULL ? format : NULL;
    struct key_values inner = {0};
    struct image_layer layer = {.is_image = driver == NULL || strcmp(given_driver, "raw") != 0};
    bool leaves_backing = name->leaves_backing;
    RETURN_IF_FAILED(drivers_check(given_driver, NULL, error));
    if (driver != NULL && (given_driver[0] == '\0' || strlen(given_driver) >= sizeof(format))) {
        return error_set(error, ERROR_USAGE, NULL, "Unknown driver '%s'", given_driver);
    }
    snprintf(format, sizeof(format), "%s", given_driver != NULL ? given_driver : "");
    if (has_below(options, "header.") || has_below(options, "data-file.")) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "A \"%s\" of an image within another one is not supported",
                         has_below(options, "header.") ? "header" : "data-file");
    }
    name->format[0] = '\0'; /* what -f says is about this one */
    name->leaves_backing = false;
    bool success = key_values_add_below(&inner, options, "file.", error) && options_take(name, &inner, error);
    key_values_release(&inner);
    RETURN_IF_FAILED(success);
    if (name->layer_count == IMAGE_LAYERS_MAX) {
        return error_set(error, ERROR_LIMIT, NULL, "more than %u nodes over each other", IMAGE_LAYERS_MAX);
    }
    name->leaves_backing = leaves_backing;
    RETURN_IF_FAILED(layer_options_take(name, &layer, options, driver, error));
    if (!layer.is_image) {
        success = image_window_make(&layer.window, key_values_find_pair(options, "offset"),
                                    key_values_find_pair(options, "size"), image_node_make(name), error);
    }
    name->layers[name->layer_count++] = layer; /* also after an error: to be released */
    return success;
}

/* "file" may be the name of a node, which somebody else would have made: nobody has. */
static bool reference_check(const struct key_values *options, bool is_within, struct error *error)
{
    const char *node = key_values_find(options, is_within ? "file.file" : "file");
    if (node != NULL && has_below(options, is_within ? "file.file." : "file.")) {
        return error_set(error, ERROR_USAGE, NULL,
                         "Cannot reference an existing block device with additional options or a new filename");
    }
    return node == NULL ||
           error_set(error, ERROR_USAGE, NULL, "Cannot find device='%s' nor node-name='%s'", node, node);
}

static bool options_take(struct image_name *name, const struct key_values *options, struct error *error)
{
    bool has_driver = name->format[0] != '\0'; /* -f counts before what the name says, as in QEMU */
    const char *driver = has_driver ? name->format : key_values_find(options, "driver");
    bool is_file = driver != NULL && node_driver_is_file(driver);
    if (!is_file && file_is_image(options)) {
        return layer_take(name, options, driver, error);
    }
    bool is_within = !is_file && image_window_is_node(options); /* the file is behind a node of its own */
    name->has_raw_file = is_within && !image_window_is_within(options);
    const char *file_driver = key_values_find(options, is_within ? "file.file.driver" : "file.driver");
    const char *path = key_values_find(options, is_file     ? "filename"
                                                : is_within ? "file.file.filename"
                                                            : "file.filename");
    RETURN_IF_FAILED(drivers_check(driver, NULL, error) && (is_file || reference_check(options, is_within, error)) &&
                     drivers_check(driver, is_file ? NULL : file_driver, error));
    if ((path == NULL && (is_file || file_driver != NULL)) || (path != NULL && path[0] == '\0')) {
        return error_set(error, ERROR_USAGE, NULL, "The '%s' block driver requires a file name",
                         is_file               ? driver
                         : file_driver != NULL ? file_driver
                                               : "file");
    }
    if (path == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "%s",
                         driver != NULL && !has_below(options, is_within ? "file.file." : "file.")
                             ? "A block device must be specified for \"file\""
                             : "Must specify either driver or file");
    }
    for (unsigned int i = 0; i < options->count; i++) {
        if (!is_below(options->pairs[i].key, "backing.")) {
            RETURN_IF_FAILED(node_option_take(name, &options->pairs[i], driver, is_within, error));
        }
    }
    if (file_driver != NULL) {
        name->file_driver = file_driver[0] == 'f' ? "file" : "host_device";
    }
    if (driver != NULL && !has_driver) {
        RETURN_IF_FAILED(format_take(name, driver, error));
    }
    return backing_take(name, options, driver, error) && data_file_take(name, options, error) &&
           header_take(name, options, error) && path_take(name, path, error) &&
           image_window_take(&name->window, options, driver, name->file_driver, path, error);
}

/* Of a key with dots, also of a node in others. */
static bool last_part_is(const char *key, const char *part)
{
    const char *dot = strrchr(key, '.');
    return strcmp(dot != NULL ? dot + 1 : key, part) == 0;
}

/*
 * A value that has no parts, as text. "backing" without a value is the empty text, as QEMU has had it. Where QEMU wants
 * a string and finds something else, there is nothing for it.
 */
static bool json_value_add(struct key_values *options, const char *key, const json_t *value, struct error *error)
{
    char number[32];
    const char *text = "";
    bool is_name = last_part_is(key, "driver") || last_part_is(key, "filename") || last_part_is(key, "file");
    bool is_backing_null = json_is_null(value) && last_part_is(key, "backing");
    if (is_name && !json_is_string(value)) {
        return true;
    }
    if (json_is_string(value)) {
        text = json_string_value(value);
    } else if (json_is_integer(value)) {
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        text = number;
    } else if (json_is_real(value)) {
        snprintf(number, sizeof(number), "%.17g", json_real_value(value));
        text = number;
    } else if (json_is_boolean(value)) {
        text = json_is_true(value) ? "on" : "off";
    }
    RETURN_IF_FAILED(key_values_add(options, key, text, error));
    struct key_value *pair = &options->pairs[options->count - 1];
    pair->is_number = json_is_integer(value);
    pair->is_null = json_is_null(value);
    pair->is_not_text = !json_is_string(value) && !is_backing_null;
    pair->is_ignored = pair->is_not_text && !json_is_number(value) && !json_is_boolean(value);
    return true;
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
    for (unsigned int pass = 0; pass < 2; pass++) { /* of two with one key, QEMU takes the one in an object */
        json_object_foreach((json_t *)value, part_key, part)
        {
            bool has_parts = json_object_size(part) > 0 || json_array_size(part) > 0;
            RETURN_IF_FAILED(has_parts != (pass == 1) ||
                             json_part_flatten(options, key, part_key, part, depth + 1, error));
        }
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
              options_take(name, &options, error) && node_names_take(&name->node_names, &options, error);
    key_values_release(&options);
    json_decref(root);
    return success;
}

const struct image_layer *image_name_top_layer(const struct image_name *name)
{
    for (unsigned int i = name->layer_count; i > 0; i--) {
        if (name->layers[i - 1].is_image) {
            return &name->layers[i - 1];
        }
    }
    return NULL;
}

const struct image_name *image_name_next_behind(const struct image_name *name, const struct image_name *last)
{
    bool is_next = last == NULL;
    for (unsigned int i = 0; i <= name->layer_count; i++) {
        const struct image_name *behind = i == 0 ? name->backing : name->layers[i - 1].backing;
        if (is_next && behind != NULL) {
            return behind;
        }
        is_next = is_next || (behind != NULL && behind == last);
    }
    return NULL;
}

bool image_name_is_writable(const struct image_name *name, struct error *error)
{
    if (name->is_read_only) {
        return error_set(error, ERROR_USAGE, NULL, "%s", READ_ONLY_PROBLEM);
    }
    if (image_name_top_layer(name) != NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Writing to an image within another one is not supported");
    }
    return (!name->window.is_set && name->layer_count == 0) ||
           error_set(error, ERROR_UNSUPPORTED, NULL,
                     "Writing to a part of a file (\"offset\", \"size\") is not supported");
}

bool image_name_is_new(const struct image_name *name, struct error *error)
{
    if (name->backing != NULL || name->header != NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "A new image with a \"backing\" or \"header\" node is not supported");
    }
    return image_name_is_target(name, error);
}

bool image_name_is_target(const struct image_name *name, struct error *error)
{
    if (name->is_read_only) {
        return error_set(error, ERROR_USAGE, NULL, "Could not open '%.150s': " READ_ONLY_PROBLEM, name->text);
    }
    return image_name_is_writable(name, error);
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

static bool list_parse(struct image_name *name, const char *text, struct error *error)
{
    struct key_values options = {0};
    bool success = key_values_parse_implied(&options, text, "file", error) && options_take(name, &options, error) &&
                   node_names_take(&name->node_names, &options, error);
    key_values_release(&options);
    return success;
}

static bool parse(struct image_name *ret_name, struct image_name *name, const char *format, bool is_options,
                  struct error *error)
{
    if (format != NULL) {
        RETURN_IF_FAILED(format_take(name, format, error));
    }
    if (!(is_options ? list_parse(name, name->text, error) : text_parse(name, name->text, error))) {
        image_name_release(name);
        return false;
    }
    name->is_path = !is_options && !is_below(name->text, "json:");
    *ret_name = *name;
    return true;
}

bool image_name_parse(struct image_name *ret_name, const char *text, const char *format, struct error *error)
{
    struct image_name name = {.text = text};
    return parse(ret_name, &name, format, false, error);
}

bool image_name_parse_alone(struct image_name *ret_name, const char *text, const char *format, bool is_options,
                            struct error *error)
{
    struct image_name name = {.text = text, .leaves_backing = true};
    return parse(ret_name, &name, format, is_options, error);
}

bool image_name_of_path(struct image_name *ret_name, const char *path, const char *format, struct error *error)
{
    struct image_name name = {.text = path, .is_path = true};
    RETURN_IF_FAILED((format == NULL || format_take(&name, format, error)) && path_take(&name, path, error));
    *ret_name = name;
    return true;
}

bool image_name_parse_options(struct image_name *ret_name, const char *text, struct error *error)
{
    struct image_name name = {.text = text};
    return parse(ret_name, &name, NULL, true, error);
}

void image_name_choose_header(struct image_name *name)
{
    free(name->path);
    name->path = name->header->path;
    name->header->path = NULL;
    image_name_release(name->header);
    free(name->header);
    name->header = NULL;
}

void image_name_release(struct image_name *name)
{
    free(name->path);
    free(name->data_file);
    free(name->node_names);
    image_window_release(&name->window);
    for (unsigned int i = 0; i < name->layer_count; i++) {
        struct image_layer *layer = &name->layers[i];
        image_window_release(&layer->window);
        if (layer->backing != NULL) {
            image_name_release(layer->backing); /* recursion: IMAGE_BEHIND_MAX */
        }
        free(layer->backing);
        *layer = (struct image_layer){0};
    }
    if (name->backing != NULL) {
        image_name_release(name->backing); /* recursion: IMAGE_BEHIND_MAX */
    }
    if (name->header != NULL) {
        image_name_release(name->header); /* has neither of these */
    }
    free(name->header);
    free(name->backing);
    name->header = NULL;
    name->backing = NULL;
    name->path = NULL;
    name->data_file = NULL;
    name->node_names = NULL;
    name->layer_count = 0;
}
