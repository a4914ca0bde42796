/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of "key=value,key=value", as -o, --image-opts and -l have them; ",," is a comma in a value. */
#ifndef INSTAR_HOST_CLI_IMAGE_VALUES_KEY_VALUES_H
#define INSTAR_HOST_CLI_IMAGE_VALUES_KEY_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* More than qemu-img's formats have options, and than a chain of images has that a user names. */
#define KEY_VALUES_MAX 192u

struct key_value {
    char *key;
    char *value;
    bool is_number;   /* it was one in JSON, and is shown as one */
    bool is_not_text; /* it was no string in JSON: a name of something it is not */
    bool is_null;     /* it was null in JSON */
    bool is_ignored;  /* it was null, {} or [] in JSON: QEMU knows the key, and takes no value from it */
};

/* Starts as zero. */
struct key_values {
    unsigned int count;
    struct key_value pairs[KEY_VALUES_MAX];
};

/* Adds what `text` has. A key without a value is "on", and "off" if it begins with "no", which is then left out. */
bool key_values_parse(struct key_values *list, const char *text, struct error *error);
/* The same, where a first value without a key is that of `key`. */
bool key_values_parse_implied(struct key_values *list, const char *text, const char *key, struct error *error);
bool key_values_add(struct key_values *list, const char *key, const char *value, struct error *error);
/* Adds copies of those of `from` whose keys begin with `prefix`, without that. */
bool key_values_add_below(struct key_values *list, const struct key_values *from, const char *prefix,
                          struct error *error);
void key_values_release(struct key_values *list);

/* The last pair with a key that is not ignored; NULL if there is none. */
const struct key_value *key_values_find_pair(const struct key_values *list, const char *key);

/* Its value; NULL likewise. */
const char *key_values_find(const struct key_values *list, const char *key);

/* A value that is a switch, by the words that QEMU takes. False, and *ret_is_on is as before: it is none. */
bool key_value_is_switch(const char *value, bool *ret_is_on);

/* The value of an option that is a size, in QEMU's words where it is none. */
bool size_value_parse(const char *key, const char *value, uint64_t *ret_len, struct error *error);

#endif
