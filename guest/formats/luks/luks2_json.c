/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/luks/luks2_json.h"

#include <string.h>

#include "base/checked.h"

struct parser {
    struct span text;
    size_t off;
    struct json_value *values;
    uint32_t count;
    uint32_t room; /* of them, JSON_VALUES_MAX at most */
};

static bool fail(const struct parser *parser, const char *what, struct error *error)
{
    return error_set(error, ERROR_MALFORMED, NULL, "LUKS2 metadata: %s at byte %zu of the JSON text", what,
                     parser->off);
}

static int peek(const struct parser *parser)
{
    return parser->off < parser->text.len ? parser->text.data[parser->off] : -1;
}

static void skip_space(struct parser *parser)
{
    int next = peek(parser);
    while (next == ' ' || next == '\t' || next == '\n' || next == '\r') { /* ends: the text does */
        parser->off++;
        next = peek(parser);
    }
}

static bool take(struct parser *parser, char wanted, const char *what, struct error *error)
{
    skip_space(parser);
    if (peek(parser) != wanted) {
        return fail(parser, what, error);
    }
    parser->off++;
    return true;
}

/* A text with its quotes; what its escapes mean is not looked at here. */
static bool take_text(struct parser *parser, uint32_t *ret_off, uint32_t *ret_len, struct error *error)
{
    RETURN_IF_FAILED(take(parser, '"', "no text", error));
    size_t start = parser->off;
    for (;; parser->off++) { /* ends: the text does */
        int next = peek(parser);
        if (next < 0x20) {
            return fail(parser, "a text that does not end", error);
        }
        if (next == '"') {
            break;
        }
        parser->off += next == '\\'; /* what follows is no end */
    }
    *ret_off = (uint32_t)start;
    *ret_len = (uint32_t)(parser->off - start);
    parser->off++;
    return true;
}

/* Numbers and words: characters of them. */
static void take_plain(struct parser *parser, struct json_value *value)
{
    value->text_off = (uint32_t)parser->off;
    for (int next = peek(parser); next >= 0 && next != 0 && strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzE", next);
         next = peek(parser)) {
        parser->off++;
    }
    value->text_len = (uint32_t)(parser->off - value->text_off);
}

static bool is_word(const struct parser *parser, const struct json_value *value)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (value->text_len == strlen(words[i]) &&
            memcmp(parser->text.data + value->text_off, words[i], value->text_len) == 0) {
            return true;
        }
    }
    return false;
}

static bool take_scalar(struct parser *parser, struct json_value *value, struct error *error)
{
    int next = peek(parser);
    if (next == '"') {
        value->kind = JSON_TEXT;
        return take_text(parser, &value->text_off, &value->text_len, error);
    }
    take_plain(parser, value);
    if (next == '-' || (next >= '0' && next <= '9')) {
        value->kind = JSON_NUMBER;
        return true;
    }
    value->kind = JSON_WORD;
    return is_word(parser, value) || fail(parser, "no value", error);
}

static bool value_take(struct parser *parser, uint32_t depth, struct json_value **ret_value, struct error *error);

/* Members or elements, behind the bracket, up to the one that ends them. */
static bool take_members(struct parser *parser, uint32_t depth, struct json_value *value, char end, struct error *error)
{
    bool is_object = value->kind == JSON_OBJECT;
    struct json_value *last = NULL;
    skip_space(parser);
    if (peek(parser) == end) {
        parser->off++;
        return true;
    }
    for (;;) { /* ends: each round takes a byte at least */
        uint32_t key_off = 0, key_len = 0;
        struct json_value *member;
        RETURN_IF_FAILED(!is_object ||
                         (take_text(parser, &key_off, &key_len, error) && take(parser, ':', "no colon", error)));
        RETURN_IF_FAILED(value_take(parser, depth, &member, error));
        member->key_off = key_off;
        member->key_len = key_len;
        if (last != NULL) {
            last->next = member;
        } else {
            value->first = member;
        }
        last = member;
        skip_space(parser);
        if (peek(parser) == end) {
            parser->off++;
            return true;
        }
        RETURN_IF_FAILED(take(parser, ',', "no comma", error));
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): no deeper than JSON_DEPTH_MAX. */
static bool value_take(struct parser *parser, uint32_t depth, struct json_value **ret_value, struct error *error)
{
    if (depth == JSON_DEPTH_MAX) {
        return fail(parser, "values within more than 16 others", error);
    }
    if (parser->count == parser->room) { /* a shorter text has no more values than bytes */
        return fail(parser, "more than 8192 values", error);
    }
    struct json_value *value = &parser->values[parser->count++];
    *ret_value = value;
    skip_space(parser);
    int next = peek(parser);
    if (next != '{' && next != '[') {
        return take_scalar(parser, value, error);
    }
    value->kind = next == '{' ? JSON_OBJECT : JSON_LIST;
    parser->off++;
    return take_members(parser, depth + 1, value, next == '{' ? '}' : ']', error);
}

_Static_assert(JSON_DEPTH_MAX == 16 && JSON_VALUES_MAX == 8192, "the messages name them");

bool json_parse(struct span text, struct arena *arena, struct json *ret_json, struct error *error)
{
    struct parser parser = {.text = text, .room = (uint32_t)min_u64(text.len + 1, JSON_VALUES_MAX)};
    struct json_value *root;
    parser.values = arena_allocate(arena, parser.room * sizeof(struct json_value), _Alignof(struct json_value));
    if (parser.values == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the LUKS2 metadata");
    }
    RETURN_IF_FAILED(value_take(&parser, 0, &root, error));
    skip_space(&parser);
    if (root->kind != JSON_OBJECT || parser.off != text.len) {
        return fail(&parser, root->kind != JSON_OBJECT ? "no object" : "something behind the object", error);
    }
    *ret_json = (struct json){.text = text, .root = root};
    return true;
}

const struct json_value *json_first(const struct json_value *value)
{
    return value != NULL && value->kind <= JSON_LIST ? value->first : NULL;
}

const struct json_value *json_member(const struct json *json, const struct json_value *object, const char *key)
{
    const struct json_value *found = NULL;
    size_t key_len = strlen(key);
    if (object == NULL || object->kind != JSON_OBJECT) {
        return NULL;
    }
    for (const struct json_value *member = object->first; member != NULL; member = member->next) {
        if (member->key_len == key_len && memcmp(json->text.data + member->key_off, key, key_len) == 0) {
            found = member;
        }
    }
    return found;
}

static int hex_digit(uint8_t digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = digit != 0 ? strchr(digits, digit >= 'A' && digit <= 'F' ? digit + 32 : digit) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

/* The character that an escape stands for; *off is behind the backslash. -1: none that we take. */
static int unescape(const uint8_t *text, uint32_t len, uint32_t *off)
{
    static const char escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    if (*off == len) {
        return -1;
    }
    uint8_t kind = text[(*off)++];
    if (kind == 'u') {
        int code = 0;
        for (int i = 0; i < 4; i++) {
            int digit = *off < len ? hex_digit(text[(*off)++]) : -1;
            if (digit < 0) {
                return -1;
            }
            code = code << 4 | digit;
        }
        return code > 0 && code < 0x80 ? code : -1;
    }
    for (size_t i = 0; i + 1 < sizeof(escapes); i += 2) {
        if ((uint8_t)escapes[i] == kind) {
            return escapes[i + 1];
        }
    }
    return -1;
}

bool json_text(const struct json *json, const struct json_value *value, char *target, size_t target_len)
{
    size_t target_off = 0;
    if (value == NULL || value->kind != JSON_TEXT) {
        return false;
    }
    const uint8_t *text = json->text.data + value->text_off;
    for (uint32_t off = 0; off < value->text_len;) { /* ends: each round takes a byte at least */
        int next = text[off++];
        if (next == '\\') {
            next = unescape(text, value->text_len, &off);
        }
        if (next <= 0 || next >= 0x80 || target_off + 1 >= target_len) {
            return false;
        }
        target[target_off++] = (char)next;
    }
    target[target_off] = '\0';
    return true;
}

bool json_is(const struct json *json, const struct json_value *value, const char *text)
{
    char found[64];
    return json_text(json, value, found, sizeof(found)) && strcmp(found, text) == 0;
}

static bool digits_parse(struct span digits, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < digits.len; i++) {
        uint64_t digit = digits.data[i] - (uint64_t)'0';
        if (digit > 9 || !checked_multiply(number, 10, &number) || !checked_add(number, digit, &number)) {
            return false;
        }
    }
    *ret_number = number;
    return digits.len > 0;
}

static bool number_of(const struct json *json, const struct json_value *value, enum json_kind kind,
                      uint64_t *ret_number)
{
    return value != NULL && value->kind == kind &&
           digits_parse((struct span){json->text.data + value->text_off, value->text_len}, ret_number);
}

bool json_number(const struct json *json, const struct json_value *value, uint64_t *ret_number)
{
    return number_of(json, value, JSON_NUMBER, ret_number);
}

bool json_number_text(const struct json *json, const struct json_value *value, uint64_t *ret_number)
{
    return number_of(json, value, JSON_TEXT, ret_number);
}

bool json_key_number(const struct json *json, const struct json_value *value, uint64_t *ret_number)
{
    return digits_parse((struct span){json->text.data + value->key_off, value->key_len}, ret_number);
}
