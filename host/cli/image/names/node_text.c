/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/names/node_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/image/values/value_print.h"

struct node_writer {
    FILE *stream;
    char *text;
    size_t len;
};

static bool writer_open(struct node_writer *writer)
{
    *writer = (struct node_writer){0};
    writer->stream = open_memstream(&writer->text, &writer->len);
    return writer->stream != NULL;
}

static char *writer_close(struct node_writer *writer)
{
    if (fclose(writer->stream) != 0) {
        free(writer->text);
        return NULL;
    }
    return writer->text;
}

static void print_text(FILE *stream, const char *text)
{
    value_print_json_text(stream, (struct span){(const uint8_t *)text, strlen(text)});
}

static void print_option(FILE *stream, const char *key, const struct key_value *option)
{
    if (option == NULL) {
        return;
    }
    fprintf(stream, "\"%s\": ", key);
    if (option->is_number) {
        fputs(option->value, stream);
    } else {
        print_text(stream, option->value);
    }
    fputs(", ", stream);
}

char *node_text_file(const char *driver, const char *path)
{
    struct node_writer writer;
    if (!writer_open(&writer)) {
        return NULL;
    }
    fprintf(writer.stream, "{\"driver\": \"%s\", \"filename\": ", driver != NULL ? driver : "file");
    print_text(writer.stream, path);
    putc('}', writer.stream);
    return writer_close(&writer);
}

char *node_text_raw(const struct key_value *off, const struct key_value *len, const char *file_node)
{
    struct node_writer writer;
    if (!writer_open(&writer)) {
        return NULL;
    }
    putc('{', writer.stream);
    print_option(writer.stream, "offset", off);
    fputs("\"driver\": \"raw\", ", writer.stream);
    print_option(writer.stream, "size", len);
    fprintf(writer.stream, "\"file\": %s}", file_node);
    return writer_close(&writer);
}

char *node_text_over(char *file_node)
{
    char *text = file_node != NULL ? node_text_raw(NULL, NULL, file_node) : NULL;
    free(file_node);
    return text;
}

static void print_string(FILE *stream, const char *key, const char *text)
{
    fprintf(stream, "\"%s\": ", key);
    print_text(stream, text);
    fputs(", ", stream);
}

char *node_text_image(const struct node_image *node)
{
    struct node_writer writer;
    bool is_luks = strcmp(node->driver, "luks") == 0;
    if (!writer_open(&writer)) {
        return NULL;
    }
    putc('{', writer.stream);
    if (node->backing_node != NULL) {
        fprintf(writer.stream, "\"backing\": %s, ", node->backing_node);
    }
    if (node->key_secret != NULL && !is_luks) {
        print_string(writer.stream, "encrypt.key-secret", node->key_secret);
    }
    if (node->driver[0] != '\0') {
        print_string(writer.stream, "driver", node->driver);
    }
    fprintf(writer.stream, "\"file\": %s", node->file_node);
    if (node->key_secret != NULL && is_luks) {
        fputs(", \"key-secret\": ", writer.stream);
        print_text(writer.stream, node->key_secret);
    }
    putc('}', writer.stream);
    return writer_close(&writer);
}
