/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON (RFC 8259) that nobody trusts: a text becomes a table of values, with bounds on their number and on how deep
 * they are within each other. No I/O; texts and numbers are looked at when they are asked for.
 */
#ifndef INSTAR_GUEST_FORMATS_LUKS_LUKS2_JSON_H
#define INSTAR_GUEST_FORMATS_LUKS_LUKS2_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"
#include "guest/runtime/arena.h"

/* 32 key slots with all that they may have are some 1,000 values, 5 deep. */
#define JSON_VALUES_MAX 8192u
#define JSON_DEPTH_MAX 16u

enum json_kind {
    JSON_OBJECT,
    JSON_LIST,
    JSON_TEXT,
    JSON_NUMBER,
    JSON_WORD, /* true, false, null */
};

struct json_value {
    enum json_kind kind;
    uint32_t key_off; /* of a member of an object, without its quotes; bytes of the text */
    uint32_t key_len;
    uint32_t text_off; /* likewise, of a text, number or word */
    uint32_t text_len;
    const struct json_value *first; /* of an object or a list; NULL: it is empty */
    const struct json_value *next;  /* behind it in the same; NULL: it is the last one */
};

struct json {
    struct span text;
    const struct json_value *root;
};

/* All of `text` is one object. Memory is the arena's; the text must live on. */
MUST_CHECK bool json_parse(struct span text, struct arena *arena, struct json *ret_json, struct error *error);

/* The member of an object; the last one, where there are several. NULL: there is none, or the value is no object. */
const struct json_value *json_member(const struct json *json, const struct json_value *object, const char *key);

/* Of an object or a list; NULL: it is empty, or NULL, or no such thing. */
const struct json_value *json_first(const struct json_value *value);

/* Copies a text with a NUL behind it. False: it is none, it is too long for `target`, or has what is not ASCII. */
MUST_CHECK bool json_text(const struct json *json, const struct json_value *value, char *target, size_t target_len);

/* A number without sign, fraction and exponent; the same as the digits of a text; the same as a member's key. */
MUST_CHECK bool json_number(const struct json *json, const struct json_value *value, uint64_t *ret_number);
MUST_CHECK bool json_number_text(const struct json *json, const struct json_value *value, uint64_t *ret_number);
MUST_CHECK bool json_key_number(const struct json *json, const struct json_value *value, uint64_t *ret_number);

/* Whether a text is this one. */
bool json_is(const struct json *json, const struct json_value *value, const char *text);

#endif
