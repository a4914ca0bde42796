/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/values/value_print.h"

#include <inttypes.h>

#include "base/checked.h"
#include "host/cli/escape.h"
#include "host/cli/utf8.h"

#define INDENT_LEN 4
#define REPLACEMENT_CHARACTER 0xfffdu

static void print_code_unit(FILE *stream, uint32_t unit)
{
    fprintf(stream, "\\u%04" PRIX32, unit);
}

static void print_character(FILE *stream, uint32_t code)
{
    static const char letters[] = {['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    if (code == '"' || code == '\\') {
        fprintf(stream, "\\%c", (char)code);
    } else if (code < ARRAY_COUNT(letters) && letters[code] != 0) {
        fprintf(stream, "\\%c", letters[code]);
    } else if (code >= 0x20 && code < 0x7f) {
        putc((int)code, stream);
    } else if (code > 0xffff) {
        print_code_unit(stream, 0xd800 | ((code - 0x10000) >> 10));
        print_code_unit(stream, 0xdc00 | ((code - 0x10000) & 0x3ff));
    } else {
        print_code_unit(stream, code);
    }
}

void value_print_json_text(FILE *stream, struct span text)
{
    putc('"', stream);
    for (size_t off = 0; off < text.len;) {
        uint32_t code;
        size_t len = utf8_decode((struct span){text.data + off, text.len - off}, &code);
        print_character(stream, len > 0 ? code : REPLACEMENT_CHARACTER);
        off += len > 0 ? len : 1;
    }
    putc('"', stream);
}

static void print_indent(FILE *stream, unsigned int indent)
{
    fprintf(stream, "%*s", (int)(indent * INDENT_LEN), "");
}

static void print_scalar_json(FILE *stream, const struct value *value)
{
    if (value->kind == VALUE_TEXT) {
        value_print_json_text(stream, value->text);
    } else if (value->kind == VALUE_BOOL) {
        fputs(value->number != 0 ? "true" : "false", stream);
    } else {
        fprintf(stream, "%" PRId64, value->number);
    }
}

static bool is_composite(const struct value *value)
{
    return value->kind == VALUE_OBJECT || value->kind == VALUE_LIST;
}

/* Recursion is bounded by VALUE_DEPTH_MAX. */
static void print_json(FILE *stream, const struct value *value, unsigned int indent)
{
    if (!is_composite(value)) {
        print_scalar_json(stream, value);
        return;
    }
    bool is_object = value->kind == VALUE_OBJECT;
    putc(is_object ? '{' : '[', stream);
    for (const struct value *at = value->first; at != NULL; at = at->next) {
        putc('\n', stream);
        print_indent(stream, indent + 1);
        if (is_object) {
            value_print_json_text(stream, (struct span){(const uint8_t *)at->key, strlen(at->key)});
            fputs(": ", stream);
        }
        print_json(stream, at, indent + 1);
        if (at->next != NULL) {
            putc(',', stream);
        }
    }
    putc('\n', stream);
    print_indent(stream, indent);
    putc(is_object ? '}' : ']', stream);
}

void value_print_json(FILE *stream, const struct value *value)
{
    print_json(stream, value, 0);
}

void value_print_text(FILE *stream, struct span text)
{
    char escaped[ESCAPED_LEN(256)];
    /* Piece by piece, cut where no character is: before a byte that starts one. */
    while (text.len > 0) {
        size_t len = min_u64(text.len, 256);
        while (len < text.len && len > 252 && (text.data[len] & 0xc0) == 0x80) {
            len--;
        }
        fputs(escape_bytes(escaped, sizeof(escaped), (struct span){text.data, len}), stream);
        text = (struct span){text.data + len, text.len - len};
    }
}

/* "lazy-refcounts" is "lazy refcounts" to people. */
static void print_key(FILE *stream, const char *key)
{
    char escaped[ESCAPED_LEN(1)];
    for (; *key != '\0'; key++) {
        char character = *key == '-' ? ' ' : *key;
        fputs(escape_bytes(escaped, sizeof(escaped), (struct span){(const uint8_t *)&character, 1}), stream);
    }
}

static void print_scalar_human(FILE *stream, const struct value *value)
{
    if (value->kind == VALUE_TEXT) {
        value_print_text(stream, value->text);
    } else {
        print_scalar_json(stream, value);
    }
}

/* Recursion is bounded by VALUE_DEPTH_MAX. */
void value_print_human(FILE *stream, const struct value *object, unsigned int indent)
{
    uint32_t index = 0;
    for (const struct value *at = object->first; at != NULL; at = at->next) {
        print_indent(stream, indent);
        if (object->kind == VALUE_LIST) {
            fprintf(stream, "[%" PRIu32 "]:", index++);
        } else {
            print_key(stream, at->key);
            putc(':', stream);
        }
        if (is_composite(at)) {
            putc('\n', stream);
            value_print_human(stream, at, indent + 1);
        } else {
            putc(' ', stream);
            print_scalar_human(stream, at);
            putc('\n', stream);
        }
    }
}
