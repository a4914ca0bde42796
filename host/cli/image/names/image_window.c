/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/names/image_window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"
#include "base/number_text.h"
#include "host/cli/image/names/node_text.h"

bool image_window_is_node(const struct key_values *options)
{
    const char *driver = key_values_find(options, "file.driver");
    return driver != NULL && strcmp(driver, "raw") == 0;
}

bool image_window_is_within(const struct key_values *options)
{
    return image_window_is_node(options) &&
           (key_values_find_pair(options, "file.offset") != NULL || key_values_find_pair(options, "file.size") != NULL);
}

static bool number_take(const struct key_value *option, uint64_t *ret_number, struct error *error)
{
    return option == NULL || size_parse(option->value, ret_number) ||
           error_set(error, ERROR_USAGE, NULL, "Parameter 'offset' or 'size' is not a number of bytes");
}

bool image_window_make(struct image_window *ret_window, const struct key_value *off, const struct key_value *len,
                       char *file_node, struct error *error)
{
    struct image_window window = {.is_set = true, .has_len = len != NULL};
    bool success = number_take(off, &window.off, error) && number_take(len, &window.len, error);
    if (success) {
        window.node = file_node != NULL ? node_text_raw(off, len, file_node) : NULL;
        success = window.node != NULL || error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    free(file_node);
    if (success) {
        *ret_window = window;
    }
    return success;
}

bool image_window_take(struct image_window *ret_window, const struct key_values *options, const char *driver,
                       const char *file_driver, const char *path, struct error *error)
{
    bool is_raw = driver != NULL && strcmp(driver, "raw") == 0;
    const struct key_value *off = is_raw ? key_values_find_pair(options, "offset") : NULL;
    const struct key_value *len = is_raw ? key_values_find_pair(options, "size") : NULL;
    bool is_within = image_window_is_within(options);
    if (is_within) { /* and the image itself has none: that would be a part (image_name.c) */
        off = key_values_find_pair(options, "file.offset");
        len = key_values_find_pair(options, "file.size");
    }
    if (off == NULL && len == NULL) {
        *ret_window = (struct image_window){0};
        return true;
    }
    char *file = node_text_file(file_driver, path);
    if (image_window_is_node(options) && !is_within) {
        file = node_text_over(file);
    }
    RETURN_IF_FAILED(image_window_make(ret_window, off, len, file, error));
    ret_window->is_within = is_within;
    return true;
}

char *image_window_show_file(const struct image_window *window)
{
    char *text;
    return asprintf(&text, "json:%s", window->node) >= 0 ? text : NULL;
}

void image_window_release(struct image_window *window)
{
    free(window->node);
    window->node = NULL;
}
