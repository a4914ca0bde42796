/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/values/json_dialect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/utf8.h"

/* Of arrays and objects in each other. QEMU has 1024, and no use for more than a few. */
#define DEPTH_MAX 64u

enum token_kind {
    TOKEN_END,   /* of the text */
    TOKEN_STRAY, /* no token begins so */
    TOKEN_SIGN,  /* one of {}[],: */
    TOKEN_WORD,
    TOKEN_STRING, /* with its quotes */
    TOKEN_INTEGER,
    TOKEN_REAL,
};

struct token {
    enum token_kind kind;
    const char *text;
    size_t len;
};

/* Errors: the first one counts. */
struct parser {
    const char *next;
    struct token token; /* the one to look at */
    struct error *error;
};

#define fail(parser, ...) \
    (error_is_set((parser)->error) ? false : error_set((parser)->error, ERROR_USAGE, NULL, __VA_ARGS__))

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t digits_len(const char *text)
{
    return strspn(text, "0123456789");
}

/* A string's length with both quotes; 0, and *ret_len up to what is wrong, when it has no end. */
static bool string_scan(const char *text, size_t *ret_len)
{
    size_t len = 1;
    while (text[len] != text[0]) {
        len += text[len] == '\\' ? 1 : 0;
        if ((unsigned char)text[len] < 0x20) { /* the text's end, too */
            *ret_len = len + (text[len] != '\0' ? 1 : 0);
            return false;
        }
        len++;
    }
    *ret_len = len + 1;
    return true;
}

/* False, and *ret_len with the character that does not fit, when it is no number. */
static bool number_scan(const char *text, size_t *ret_len, bool *ret_is_real)
{
    size_t len = text[0] == '-' ? 1 : 0;
    size_t count = text[len] == '0' ? 1 : digits_len(text + len);
    len += count;
    bool is_sound = count > 0 && !(count == 1 && text[len - 1] == '0' && is_digit(text[len]));
    *ret_is_real = false;
    if (is_sound && text[len] == '.') {
        *ret_is_real = true;
        count = digits_len(text + len + 1);
        len += 1 + count;
        is_sound = count > 0;
    }
    if (is_sound && (text[len] == 'e' || text[len] == 'E')) {
        *ret_is_real = true;
        len += text[len + 1] == '+' || text[len + 1] == '-' ? 2 : 1;
        count = digits_len(text + len);
        len += count;
        is_sound = count > 0;
    }
    *ret_len = is_sound ? len : len + (text[len] != '\0' ? 1 : 0);
    return is_sound;
}

static struct token token_scan(const char *text)
{
    text += strspn(text, " \t\r\n");
    struct token token = {.kind = TOKEN_STRAY, .text = text, .len = 1};
    bool is_real;
    if (text[0] == '\0') {
        token = (struct token){.kind = TOKEN_END, .text = text};
    } else if (strchr("{}[],:", text[0]) != NULL) {
        token.kind = TOKEN_SIGN;
    } else if (text[0] == '"' || text[0] == '\'') {
        token.kind = string_scan(text, &token.len) ? TOKEN_STRING : TOKEN_STRAY;
    } else if (text[0] == '-' || is_digit(text[0])) {
        bool is_number = number_scan(text, &token.len, &is_real);
        token.kind = !is_number ? TOKEN_STRAY : is_real ? TOKEN_REAL : TOKEN_INTEGER;
    } else if (text[0] >= 'a' && text[0] <= 'z') {
        token.kind = TOKEN_WORD;
        token.len = strspn(text, "abcdefghijklmnopqrstuvwxyz");
    }
    return token;
}

static bool is_sign(const struct token *token, char sign)
{
    return token->kind == TOKEN_SIGN && token->text[0] == sign;
}

static struct token token_take(struct parser *parser)
{
    struct token token = parser->token;
    parser->next = token.text + token.len;
    parser->token = token_scan(parser->next);
    return token;
}

/*
 * As QEMU, which takes a value apart when all of its tokens are there: what is no token is found first, up to where as
 * many brackets were closed as opened. Sets *ret_end to what is behind.
 */
static bool tokens_check(struct parser *parser, const char *text, const char **ret_end)
{
    int objects = 0;
    int arrays = 0;
    do { /* ends: every round takes a token, or finds the end */
        struct token token = token_scan(text);
        if (token.kind == TOKEN_STRAY) {
            return fail(parser, "JSON parse error, stray '%.*s'", (int)token.len, token.text);
        }
        objects += is_sign(&token, '{') - is_sign(&token, '}');
        arrays += is_sign(&token, '[') - is_sign(&token, ']');
        if (objects + arrays > (int)DEPTH_MAX) {
            return fail(parser, "JSON nesting depth limit exceeded");
        }
        text = token.text + token.len;
        *ret_end = text;
        if (token.kind == TOKEN_END) {
            return true;
        }
    } while (objects >= 0 && arrays >= 0 && objects + arrays > 0);
    return true;
}

/* Four hexadecimal digits; -1 when they are none. */
static int32_t code_unit_parse(const char *text)
{
    int32_t code = 0;
    for (unsigned int i = 0; i < 4; i++) {
        char c = text[i];
        int digit = is_digit(c)            ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) {
            return -1;
        }
        code = code * 16 + digit;
    }
    return code;
}

/* In QEMU's "modified UTF-8", where the character 0 has two bytes, neither of them zero. Returns the length. */
static size_t utf8_put(char *target, uint32_t code)
{
    if (code != 0 && code < 0x80) {
        target[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--) {
        target[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    target[0] = (char)((0xf00u >> len & 0xf0u) | code);
    return len;
}

static bool is_character(int32_t code)
{
    return code >= 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) && (code < 0xfdd0 || code > 0xfdef) &&
           (code & 0xfffe) != 0xfffe;
}

/* The escape at *text, which begins with the backslash and lies in a token that ends at `end`. */
static bool escape_take(struct parser *parser, const char **text, const char *end, char *target, size_t *len)
{
    static const char letters[] = "\"'\\/bfnrt";
    static const char meanings[] = "\"'\\/\b\f\n\r\t";
    const char *begin = *text;
    const char *letter = strchr(letters, begin[1]);
    if (letter != NULL) {
        target[(*len)++] = meanings[letter - letters];
        *text = begin + 2;
        return true;
    }
    if (begin[1] != 'u') {
        return fail(parser, "JSON parse error, invalid escape sequence in string");
    }
    size_t left_len = (size_t)(end - begin);
    size_t taken_len = left_len < 6 ? left_len : 6;
    int32_t code = taken_len == 6 ? code_unit_parse(begin + 2) : -1;
    if (code >= 0xd800 && code <= 0xdbff && left_len >= 12 && begin[6] == '\\' && begin[7] == 'u') {
        int32_t trail = code_unit_parse(begin + 8);
        bool is_pair = trail >= 0xdc00 && trail <= 0xdfff;
        code = is_pair ? 0x10000 + ((code & 0x3ff) << 10 | (trail & 0x3ff)) : -1;
        taken_len += is_pair ? 6 : 0;
    }
    if (!is_character(code)) {
        return fail(parser, "JSON parse error, %.*s is not a valid Unicode character", (int)taken_len, begin);
    }
    *len += utf8_put(target + *len, (uint32_t)code);
    *text = begin + taken_len;
    return true;
}

static json_t *string_parse(struct parser *parser, const struct token *token)
{
    const char *text = token->text + 1;
    const char *end = token->text + token->len; /* with the quote */
    char *target = malloc(token->len);          /* nothing gets longer */
    size_t len = 0;
    bool is_sound = target != NULL || fail(parser, "out of memory");
    while (is_sound && text < end - 1) { /* ends: each round takes a character */
        uint32_t code;
        if (text[0] == '\\') {
            is_sound = escape_take(parser, &text, end, target, &len);
            continue;
        }
        size_t character_len = utf8_decode((struct span){(const uint8_t *)text, (size_t)(end - 1 - text)}, &code);
        if (character_len == 0) {
            is_sound = fail(parser, "JSON parse error, invalid UTF-8 sequence in string");
            break;
        }
        memcpy(target + len, text, character_len);
        len += character_len;
        text += character_len;
    }
    json_t *value = is_sound ? json_stringn_nocheck(target, len) : NULL;
    if (target != NULL) {
        explicit_bzero(target, token->len); /* it may be a passphrase */
    }
    free(target);
    return value;
}

static json_t *number_parse_token(const struct token *token)
{
    errno = 0;
    long long number = strtoll(token->text, NULL, 10);
    if (token->kind == TOKEN_INTEGER && errno == 0) {
        return json_integer(number);
    }
    return json_real(strtod(token->text, NULL)); /* NULL when it is too large */
}

static json_t *word_parse(struct parser *parser, const struct token *token)
{
    static const struct {
        const char *word;
        json_t *(*make)(void);
    } words[] = {{"true", json_true}, {"false", json_false}, {"null", json_null}};
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (token->len == strlen(words[i].word) && strncmp(token->text, words[i].word, token->len) == 0) {
            return words[i].make();
        }
    }
    (void)fail(parser, "JSON parse error, invalid keyword '%.*s'", (int)token->len, token->text);
    return NULL;
}

static json_t *value_parse(struct parser *parser);

static bool pair_parse(struct parser *parser, json_t *object)
{
    if (parser->token.kind == TOKEN_END) {
        return fail(parser, "JSON parse error, premature EOI");
    }
    json_t *key = value_parse(parser);
    json_t *value = NULL;
    bool is_sound = false;
    if (!json_is_string(key)) {
        (void)fail(parser, "JSON parse error, key is not a string in object");
    } else if (parser->token.kind == TOKEN_END) {
        (void)fail(parser, "JSON parse error, premature EOI");
    } else if (!is_sign(&parser->token, ':')) {
        (void)fail(parser, "JSON parse error, missing : in object pair");
    } else {
        token_take(parser);
        value = value_parse(parser);
        bool is_twice = value != NULL && json_object_get(object, json_string_value(key)) != NULL;
        is_sound = value != NULL && (!is_twice || fail(parser, "JSON parse error, duplicate key"));
    }
    is_sound = is_sound && json_object_set_nocheck(object, json_string_value(key), value) == 0;
    json_decref(key);
    json_decref(value);
    return is_sound;
}

static bool element_parse(struct parser *parser, json_t *array)
{
    json_t *value = value_parse(parser);
    return value != NULL && json_array_append_new(array, value) == 0;
}

/* Both end where the sign `end` is. */
static json_t *list_parse(struct parser *parser, json_t *list, char end, const char *what,
                          bool (*part_parse)(struct parser *parser, json_t *list))
{
    token_take(parser);
    bool is_sound = list != NULL;
    bool is_first = true;
    while (is_sound && !is_sign(&parser->token, end)) { /* ends: each round takes tokens, or fails */
        if (parser->token.kind == TOKEN_END) {
            is_sound = fail(parser, "JSON parse error, premature EOI");
        } else if (!is_first && !is_sign(&parser->token, ',')) {
            is_sound = fail(parser, "JSON parse error, expected separator in %s", what);
        } else {
            if (!is_first) {
                token_take(parser);
            }
            is_first = false;
            is_sound = part_parse(parser, list);
        }
    }
    if (!is_sound) {
        json_decref(list);
        return NULL;
    }
    token_take(parser);
    return list;
}

/* Recursion is bounded by tokens_check. NULL: an error is set, or there is no memory. */
static json_t *value_parse(struct parser *parser)
{
    struct token token = parser->token;
    switch (token.kind) {
    case TOKEN_STRING:
        token_take(parser);
        return string_parse(parser, &token);
    case TOKEN_INTEGER:
    case TOKEN_REAL:
        token_take(parser);
        return number_parse_token(&token);
    case TOKEN_WORD:
        token_take(parser);
        return word_parse(parser, &token);
    case TOKEN_END:
        (void)fail(parser, "JSON parse error, premature EOI");
        return NULL;
    case TOKEN_SIGN:
    case TOKEN_STRAY:
    default:
        if (is_sign(&token, '{')) {
            return list_parse(parser, json_object(), '}', "dict", pair_parse);
        }
        if (is_sign(&token, '[')) {
            return list_parse(parser, json_array(), ']', "list", element_parse);
        }
        (void)fail(parser, "JSON parse error, expecting value");
        return NULL;
    }
}

bool json_dialect_parse(const char *text, json_t **ret_value, struct error *error)
{
    struct parser parser = {.next = text, .error = error};
    const char *end;
    RETURN_IF_FAILED(tokens_check(&parser, text, &end));
    parser.token = token_scan(text);
    if (parser.token.kind == TOKEN_END) {
        return error_set(error, ERROR_USAGE, NULL, "Expecting a JSON value");
    }
    json_t *value = value_parse(&parser);
    if (value == NULL) {
        return fail(&parser, "JSON parse error, a number is too large");
    }
    if (token_scan(end).kind != TOKEN_END) {
        json_decref(value);
        return error_set(error, ERROR_USAGE, NULL, "Expecting at most one JSON value");
    }
    *ret_value = value;
    return true;
}
