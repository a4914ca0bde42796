/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/image_window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number_text.h"
#include "host/cli/image/value_print.h"

bool image_window_is_node(const struct key_values *options)
{
    const char *driver = key_values_find(options, "file.driver");
    return driver != NULL && strcmp(driver, "raw") == 0;
}

static void print_text(FILE *stream, const char *text)
{
    value_print_json_text(stream, (struct span){(const uint8_t *)text, strlen(text)});
}

static void print_option(FILE *stream, const char *key, const struct key_value *option)
{
    fprintf(stream, "\"%s\": ", key);
    if (option->is_number) {
        fputs(option->value, stream);
    } else {
        print_text(stream, option->value);
    }
    fputs(", ", stream);
}

/* Members in the order of QEMU's dictionary. */
static char *node_make(const struct key_value *off, const struct key_value *len, const char *file_driver,
                       const char *path)
{
    char *text = NULL;
    size_t text_len;
    FILE *stream = open_memstream(&text, &text_len);
    if (stream == NULL) {
        return NULL;
    }
    putc('{', stream);
    if (off != NULL) {
        print_option(stream, "offset", off);
    }
    fputs("\"driver\": \"raw\", ", stream);
    if (len != NULL) {
        print_option(stream, "size", len);
    }
    fprintf(stream, "\"file\": {\"driver\": \"%s\", \"filename\": ", file_driver != NULL ? file_driver : "file");
    print_text(stream, path);
    fputs("}}", stream);
    if (fclose(stream) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

bool image_window_take(struct image_window *ret_window, const struct key_values *options, const char *driver,
                       const char *file_driver, const char *path, struct error *error)
{
    bool is_raw = driver != NULL && strcmp(driver, "raw") == 0;
    bool has_node = image_window_is_node(options);
    struct image_window window = {0};
    const struct key_value *off = is_raw ? key_values_find_pair(options, "offset") : NULL;
    const struct key_value *len = is_raw ? key_values_find_pair(options, "size") : NULL;
    const struct key_value *node_off = has_node ? key_values_find_pair(options, "file.offset") : NULL;
    const struct key_value *node_len = has_node ? key_values_find_pair(options, "file.size") : NULL;
    if (node_off != NULL || node_len != NULL) {
        if (off != NULL || len != NULL) {
            return error_set(error, ERROR_UNSUPPORTED, NULL, "A part of a part of a file is not supported");
        }
        off = node_off;
        len = node_len;
        window.is_within = true;
    }
    window.is_set = off != NULL || len != NULL;
    window.has_len = len != NULL;
    if ((off != NULL && !size_parse(off->value, &window.off)) ||
        (len != NULL && !size_parse(len->value, &window.len))) {
        return error_set(error, ERROR_USAGE, NULL, "Parameter 'offset' or 'size' is not a number of bytes");
    }
    if (window.is_set) {
        window.node = node_make(off, len, file_driver, path);
        if (window.node == NULL) {
            return error_set(error, ERROR_HOST, NULL, "out of memory");
        }
    }
    *ret_window = window;
    return true;
}

char *image_window_show_image(const struct image_window *window, const char *format)
{
    char *text;
    int len = window->is_within ? asprintf(&text, "json:{\"driver\": \"%s\", \"file\": %s}", format, window->node)
                                : asprintf(&text, "json:%s", window->node);
    return len >= 0 ? text : NULL;
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
