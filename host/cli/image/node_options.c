/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/node_options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/attributes.h"
#include "base/number_text.h"

/* Which nodes have an option. */
enum {
    OF_FILE = 1 << 0,
    OF_QCOW2 = 1 << 1,
    OF_RAW = 1 << 2,
    OF_ALL = OF_FILE | OF_QCOW2 | OF_RAW,
};

enum value_type {
    VALUE_TEXT,
    VALUE_SWITCH,
    VALUE_SIZE,
    VALUE_NUMBER,
    VALUE_WORD,
    VALUE_REFUSED, /* it would make a difference, and is not there yet */
};

struct node_option {
    const char *key; /* with a dot at its end: all that begin with it */
    unsigned int nodes;
    enum value_type type;
    const char *const *words; /* VALUE_WORD: all that there are, up to NULL */
    const char *problem;      /* VALUE_WORD: what is wrong with another one; NULL: "invalid parameter value" */
    size_t field_off;         /* VALUE_SWITCH: a bool of struct image_name that becomes true; 0: none */
};

static const char *const discard_words[] = {"ignore", "off", "unmap", "on", NULL};
static const char *const detect_words[] = {"off", "on", "unmap", NULL};
static const char *const locking_words[] = {"auto", "on", "off", NULL};
static const char *const aio_words[] = {"threads", "native", "io_uring", NULL};

#define SWITCH_INTO(field) .type = VALUE_SWITCH, .field_off = offsetof(struct image_name, field)

static const struct node_option node_options[] = {
    {"driver", OF_ALL, .type = VALUE_TEXT},
    {"node-name", OF_ALL, .type = VALUE_TEXT},
    {"read-only", OF_ALL, .type = VALUE_SWITCH},
    {"auto-read-only", OF_ALL, .type = VALUE_SWITCH},
    {"force-share", OF_ALL, SWITCH_INTO(force_share)},
    {"cache.direct", OF_ALL, SWITCH_INTO(is_direct)},
    {"cache.no-flush", OF_ALL, .type = VALUE_SWITCH},
    {"discard", OF_ALL, .type = VALUE_WORD, .words = discard_words, .problem = "Invalid discard option"},
    {"detect-zeroes", OF_ALL, .type = VALUE_WORD, .words = detect_words},
    {"filename", OF_FILE, .type = VALUE_TEXT},
    {"locking", OF_FILE, .type = VALUE_WORD, .words = locking_words},
    {"aio", OF_FILE, .type = VALUE_WORD, .words = aio_words},
    {"aio-max-batch", OF_FILE, .type = VALUE_NUMBER},
    {"drop-cache", OF_FILE, .type = VALUE_SWITCH},
    {"x-check-cache-dropped", OF_FILE, .type = VALUE_SWITCH},
    {"pr-manager", OF_FILE, .type = VALUE_REFUSED},
    {"lazy-refcounts", OF_QCOW2, .type = VALUE_SWITCH},
    {"pass-discard-request", OF_QCOW2, .type = VALUE_SWITCH},
    {"pass-discard-snapshot", OF_QCOW2, .type = VALUE_SWITCH},
    {"pass-discard-other", OF_QCOW2, .type = VALUE_SWITCH},
    {"cache-size", OF_QCOW2, .type = VALUE_SIZE},
    {"l2-cache-size", OF_QCOW2, .type = VALUE_SIZE},
    {"l2-cache-entry-size", OF_QCOW2, .type = VALUE_SIZE},
    {"refcount-cache-size", OF_QCOW2, .type = VALUE_SIZE},
    {"cache-clean-interval", OF_QCOW2, .type = VALUE_NUMBER},
    {"overlap-check", OF_QCOW2, .type = VALUE_TEXT}, /* about writing, like what follows */
    {"overlap-check.", OF_QCOW2, .type = VALUE_TEXT},
    {"backing", OF_QCOW2, .type = VALUE_REFUSED},
    {"backing.", OF_QCOW2, .type = VALUE_REFUSED},
    {"data-file", OF_QCOW2, .type = VALUE_REFUSED},
    {"encrypt.", OF_QCOW2, .type = VALUE_REFUSED},
    {"key-secret", OF_QCOW2, .type = VALUE_REFUSED},
    {"offset", OF_RAW, .type = VALUE_REFUSED},
    {"size", OF_RAW, .type = VALUE_REFUSED},
};

bool node_driver_is_file(const char *name)
{
    return strcmp(name, "file") == 0 || strcmp(name, "host_device") == 0;
}

static const struct node_option *option_find(const char *key, unsigned int nodes)
{
    for (size_t i = 0; i < ARRAY_COUNT(node_options); i++) {
        const struct node_option *option = &node_options[i];
        size_t len = strlen(option->key);
        bool is_prefix = option->key[len - 1] == '.';
        if ((option->nodes & nodes) != 0 &&
            (is_prefix ? strncmp(option->key, key, len) == 0 : strcmp(option->key, key) == 0)) {
            return option;
        }
    }
    return NULL;
}

static bool switch_take(struct image_name *name, const struct node_option *option, const char *key, const char *value,
                        struct error *error)
{
    bool is_on = strcmp(value, "on") == 0;
    if (!is_on && strcmp(value, "off") != 0) {
        return error_set(error, ERROR_USAGE, NULL, "Parameter '%s' expects 'on' or 'off'", key);
    }
    if (is_on && option->field_off != 0) {
        *(bool *)((char *)name + option->field_off) = true;
    }
    return true;
}

static bool word_check(const struct node_option *option, const char *value, struct error *error)
{
    for (const char *const *word = option->words; *word != NULL; word++) { /* ends: as struct node_option says */
        if (strcmp(*word, value) == 0) {
            return true;
        }
    }
    return option->problem != NULL ? error_set(error, ERROR_USAGE, NULL, "%s", option->problem)
                                   : error_set(error, ERROR_USAGE, NULL, "invalid parameter value: %s", value);
}

static bool value_take(struct image_name *name, const struct node_option *option, const char *key, const char *value,
                       struct error *error)
{
    uint64_t number;
    switch (option->type) {
    case VALUE_SWITCH:
        return switch_take(name, option, key, value, error);
    case VALUE_SIZE:
        return size_parse(value, &number) ||
               error_set(error, ERROR_USAGE, NULL, "Parameter '%s' expects a non-negative number below 2^64", key);
    case VALUE_NUMBER:
        return number_parse(value, &number) ||
               error_set(error, ERROR_USAGE, NULL, "Parameter '%s' expects a number", key);
    case VALUE_WORD:
        return word_check(option, value, error);
    case VALUE_REFUSED:
        return error_set(error, ERROR_USAGE, NULL, "The option '%s' is not supported", key);
    case VALUE_TEXT:
    default:
        return true;
    }
}

/* The node that has the options of an image itself. */
static unsigned int nodes_of(const char *driver)
{
    if (driver == NULL) {
        return OF_QCOW2 | OF_RAW;
    }
    if (node_driver_is_file(driver)) {
        return OF_FILE;
    }
    return strcmp(driver, "raw") == 0 ? OF_RAW : OF_QCOW2;
}

bool node_option_take(struct image_name *name, const struct key_value *option, const char *driver, struct error *error)
{
    unsigned int nodes = nodes_of(driver);
    const char *key = option->key;
    static const char data_file[] = "data-file.";
    if (nodes != OF_FILE && strncmp(key, "file.", 5) == 0) {
        key += 5;
        nodes = OF_FILE;
    } else if ((nodes & OF_QCOW2) != 0 && strncmp(key, data_file, strlen(data_file)) == 0) {
        key += strlen(data_file);
        nodes = OF_FILE;
    }
    const struct node_option *known = option_find(key, nodes);
    if (known != NULL) {
        RETURN_IF_FAILED(value_take(name, known, key, option->value, error));
        name->no_locks = name->no_locks || (strcmp(key, "locking") == 0 && strcmp(option->value, "off") == 0);
        return true;
    }
    if (nodes == OF_FILE) {
        return error_set(error, ERROR_USAGE, NULL, "Block protocol 'file' doesn't support the option '%s'", key);
    }
    if (driver == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "The option '%s' is not supported", key);
    }
    return error_set(error, ERROR_USAGE, NULL, "Block format '%s' does not support the option '%s'", driver, key);
}
