/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/names/node_options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/attributes.h"
#include "base/number_text.h"
#include "host/cli/image/names/image_driver.h"

enum value_type {
    VALUE_TEXT,
    VALUE_IDENTIFIER, /* as QEMU's id_wellformed has it */
    VALUE_SWITCH,
    VALUE_SIZE,
    VALUE_NUMBER,
    VALUE_WORD,
    VALUE_NOTHING, /* null or the empty text, which sets a bool like a switch; anything else names a node: there is none
                    */
    VALUE_NO_BACKING, /* the same of a driver that has nothing behind it, where it says nothing */
    VALUE_KEY_SECRET, /* the id of a secret */
    VALUE_KEY_FORMAT, /* how the image is encrypted */
    VALUE_UNEXPECTED, /* QEMU knows others that begin so, and not this one */
    VALUE_REFUSED,    /* it would make a difference, and is not there yet */
};

struct node_option {
    const char *key;    /* with a dot at its end: all that begin with it */
    unsigned int nodes; /* enum driver_node: those that have the option */
    enum value_type type;
    const char *const *words; /* VALUE_WORD: all that there are, up to NULL */
    const char *problem; /* VALUE_WORD: what is wrong with another one, with a %s for it; NULL: QEMU's usual words */
    size_t field_off;    /* VALUE_SWITCH: _NOTHING: a bool of struct image_name that becomes true; 0: none */
};

static const char *const discard_words[] = {"ignore", "off", "unmap", "on", NULL};
static const char *const detect_words[] = {"off", "on", "unmap", NULL};
static const char *const locking_words[] = {"auto", "on", "off", NULL};
static const char *const prealloc_words[] = {"falloc", "truncate", NULL};
static const char *const overlap_words[] = {"none", "constant", "cached", "all", NULL};
static const char *const aio_words[] = {"threads", "native", "io_uring", NULL};

#define SWITCH_INTO(field) .type = VALUE_SWITCH, .field_off = offsetof(struct image_name, field)

#define OVERLAP_PROBLEM                                         \
    "Unsupported value '%s' for qcow2 option 'overlap-check'. " \
    "Allowed are any of the following: none, constant, cached, all"
#define OVERLAP_WORDS .type = VALUE_WORD, .words = overlap_words, .problem = OVERLAP_PROBLEM

static const struct node_option node_options[] = {
    {"driver", DRIVER_NODE_ALL, .type = VALUE_TEXT},
    {"node-name", DRIVER_NODE_ALL, .type = VALUE_IDENTIFIER},
    {"read-only", DRIVER_NODE_ALL, SWITCH_INTO(is_read_only)},
    {"auto-read-only", DRIVER_NODE_ALL, .type = VALUE_SWITCH},
    {"force-share", DRIVER_NODE_ALL, SWITCH_INTO(force_share)},
    {"cache.direct", DRIVER_NODE_ALL, SWITCH_INTO(is_direct)},
    {"cache.no-flush", DRIVER_NODE_ALL, .type = VALUE_SWITCH},
    {"discard", DRIVER_NODE_ALL, .type = VALUE_WORD, .words = discard_words, .problem = "Invalid discard option"},
    {"detect-zeroes", DRIVER_NODE_ALL, .type = VALUE_WORD, .words = detect_words},
    {"filename", DRIVER_NODE_FILE, .type = VALUE_TEXT},
    {"locking", DRIVER_NODE_FILE, .type = VALUE_WORD, .words = locking_words},
    {"aio", DRIVER_NODE_FILE, .type = VALUE_WORD, .words = aio_words},
    {"aio-max-batch", DRIVER_NODE_FILE, .type = VALUE_NUMBER},
    {"drop-cache", DRIVER_NODE_FILE, .type = VALUE_SWITCH},
    {"x-check-cache-dropped", DRIVER_NODE_FILE, .type = VALUE_SWITCH},
    {"pr-manager", DRIVER_NODE_FILE, .type = VALUE_REFUSED},
    {"lazy-refcounts", DRIVER_NODE_QCOW2, .type = VALUE_SWITCH},
    {"pass-discard-request", DRIVER_NODE_QCOW2, .type = VALUE_SWITCH},
    {"pass-discard-snapshot", DRIVER_NODE_QCOW2, .type = VALUE_SWITCH},
    {"pass-discard-other", DRIVER_NODE_QCOW2, .type = VALUE_SWITCH},
    {"cache-size", DRIVER_NODE_QCOW2, .type = VALUE_SIZE},
    {"l2-cache-size", DRIVER_NODE_QCOW2, .type = VALUE_SIZE},
    {"l2-cache-entry-size", DRIVER_NODE_QCOW2, .type = VALUE_SIZE},
    {"refcount-cache-size", DRIVER_NODE_QCOW2, .type = VALUE_SIZE},
    {"cache-clean-interval", DRIVER_NODE_QCOW2, .type = VALUE_NUMBER},
    {"overlap-check", DRIVER_NODE_QCOW2, OVERLAP_WORDS}, /* about writing, like what follows */
    {"overlap-check.template", DRIVER_NODE_QCOW2, OVERLAP_WORDS},
    {"overlap-check.main-header", DRIVER_NODE_QCOW2, .type = VALUE_SWITCH},
    {"overlap-check.active-l1", DRIVER_NODE_QCOW2, .type = VALUE_SWITCH},
    {"overlap-check.active-l2", DRIVER_NODE_QCOW2, .type = VALUE_SWITCH},
    {"overlap-check.refcount-table", DRIVER_NODE_QCOW2, .type = VALUE_SWITCH},
    {"overlap-check.refcount-block", DRIVER_NODE_QCOW2, .type = VALUE_SWITCH},
    {"overlap-check.snapshot-table", DRIVER_NODE_QCOW2, .type = VALUE_SWITCH},
    {"overlap-check.inactive-l1", DRIVER_NODE_QCOW2, .type = VALUE_SWITCH},
    {"overlap-check.inactive-l2", DRIVER_NODE_QCOW2, .type = VALUE_SWITCH},
    {"overlap-check.bitmap-directory", DRIVER_NODE_QCOW2, .type = VALUE_SWITCH},
    {"backing", DRIVER_NODE_BACKED, .type = VALUE_NOTHING, .field_off = offsetof(struct image_name, without_backing)},
    {"backing", DRIVER_NODE_ALL & ~DRIVER_NODE_BACKED, .type = VALUE_NO_BACKING},
    {"data-file", DRIVER_NODE_QCOW2, .type = VALUE_REFUSED},
    {"encrypt.format", DRIVER_NODE_KEYED, .type = VALUE_KEY_FORMAT},
    {"encrypt.key-secret", DRIVER_NODE_KEYED, .type = VALUE_KEY_SECRET},
    {"encrypt.", DRIVER_NODE_KEYED, .type = VALUE_UNEXPECTED},
    {"key-secret", DRIVER_NODE_LUKS, .type = VALUE_KEY_SECRET},
    {"prealloc-size", DRIVER_NODE_PARALLELS, .type = VALUE_SIZE}, /* about writing, too */
    {"prealloc-mode", DRIVER_NODE_PARALLELS, .type = VALUE_WORD, .words = prealloc_words},
    {"force_size_calc", DRIVER_NODE_VPC, .type = VALUE_REFUSED},
    {"offset", DRIVER_NODE_RAW, .type = VALUE_SIZE}, /* image_window_take */
    {"size", DRIVER_NODE_RAW, .type = VALUE_SIZE},
};

bool node_driver_is_file(const char *name)
{
    const struct image_driver *driver = image_driver_find(name);
    return driver != NULL && driver->nodes == DRIVER_NODE_FILE;
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
    bool is_on;
    if (!key_value_is_switch(value, &is_on)) {
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
    char problem[ERROR_DETAIL_LEN];
    const char *form = option->problem != NULL ? option->problem : "invalid parameter value: %s";
    const char *place = strstr(form, "%s");
    int before_len = place != NULL ? (int)(place - form) : (int)strlen(form);
    snprintf(problem, sizeof(problem), "%.*s%.100s%s", before_len, form, place != NULL ? value : "",
             place != NULL ? place + strlen("%s") : "");
    return error_set(error, ERROR_USAGE, NULL, "%s", problem);
}

/* In QEMU a node's name has 32 bytes, with the NUL at its end. */
#define IDENTIFIER_LEN_MAX 31u

static bool identifier_check(const char *key, const char *value, struct error *error)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char others[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    if (strlen(value) > IDENTIFIER_LEN_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "Node name too long");
    }
    return (strspn(value, letters) > 0 && strspn(value, others) == strlen(value)) ||
           error_set(error, ERROR_USAGE, NULL, "Invalid %s: '%.150s'", key, value);
}

static bool secret_id_take(struct image_name *name, const char *value, struct error *error)
{
    if (strlen(value) >= sizeof(name->key_secret)) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "the id of a secret is longer than %zu bytes",
                         sizeof(name->key_secret) - 1);
    }
    snprintf(name->key_secret, sizeof(name->key_secret), "%s", value);
    name->has_key_secret = true;
    return true;
}

static bool value_take(struct image_name *name, const struct node_option *option, const char *key, const char *value,
                       struct error *error)
{
    uint64_t number;
    switch (option->type) {
    case VALUE_IDENTIFIER:
        return identifier_check(key, value, error);
    case VALUE_SWITCH:
        return switch_take(name, option, key, value, error);
    case VALUE_SIZE:
        return size_value_parse(key, value, &number, error);
    case VALUE_NUMBER:
        return number_parse(value, &number) ||
               error_set(error, ERROR_USAGE, NULL, "Parameter '%s' expects a number", key);
    case VALUE_WORD:
        return word_check(option, value, error);
    case VALUE_NOTHING:
        if (value[0] == '\0') {
            *(bool *)((char *)name + option->field_off) = true;
            return true;
        }
        return error_set(error, ERROR_USAGE, NULL,
                         "Could not open backing file: Cannot find device='%s' nor node-name='%s'", value, value);
    case VALUE_NO_BACKING:
        return value[0] == '\0' || error_set(error, ERROR_USAGE, NULL, "Driver doesn't support backing files");
    case VALUE_KEY_SECRET:
        return secret_id_take(name, value, error);
    case VALUE_KEY_FORMAT:
        snprintf(name->key_format, sizeof(name->key_format), "%s",
                 value); /* cut: the guest knows none that is longer */
        return true;
    case VALUE_UNEXPECTED:
        return error_set(error, ERROR_USAGE, NULL, "Parameter '%s' is unexpected", strchr(key, '.') + 1);
    case VALUE_REFUSED:
        return error_set(error, ERROR_USAGE, NULL, "The option '%s' is not supported", key);
    case VALUE_TEXT:
    default:
        return true;
    }
}

/* The nodes that have the options of an image itself. Of a driver that nobody knows, the guest will say so. */
static unsigned int nodes_of(const char *name)
{
    const struct image_driver *driver = name != NULL ? image_driver_find(name) : NULL;
    return driver != NULL ? driver->nodes : DRIVER_NODE_FORMAT;
}

bool node_option_take(struct image_name *name, const struct key_value *option, const char *driver, bool is_within,
                      struct error *error)
{
    unsigned int nodes = nodes_of(driver);
    const char *key = option->key;
    static const char data_file[] = "data-file.";
    static const char header[] = "header.";
    static const char header_within[] = "header.file.";
    static const char file_within[] = "file.file.";
    if (is_within && strncmp(key, file_within, strlen(file_within)) == 0) {
        key += strlen(file_within);
        nodes = DRIVER_NODE_FILE;
    } else if (nodes != DRIVER_NODE_FILE && strncmp(key, "file.", 5) == 0) {
        key += 5;
        nodes = is_within ? DRIVER_NODE_RAW : DRIVER_NODE_FILE;
        driver = is_within ? "raw" : driver;
    } else if ((nodes & DRIVER_NODE_QCOW2) != 0 && strncmp(key, data_file, strlen(data_file)) == 0) {
        key += strlen(data_file);
        nodes = DRIVER_NODE_FILE;
    } else if ((nodes & DRIVER_NODE_LUKS) != 0 && strncmp(key, header_within, strlen(header_within)) == 0) {
        key += strlen(header_within);
        nodes = DRIVER_NODE_FILE;
    } else if ((nodes & DRIVER_NODE_LUKS) != 0 && strncmp(key, header, strlen(header)) == 0) {
        key += strlen(header);
        nodes = DRIVER_NODE_FILE;
    }
    const struct node_option *known = option_find(key, nodes);
    bool is_backing = known != NULL && (known->type == VALUE_NOTHING || known->type == VALUE_NO_BACKING);
    if (known != NULL && (!is_backing || !option->is_not_text)) {
        if (option->is_ignored) {
            return true;
        }
        if (is_backing && name->leaves_backing && key == option->key && option->value[0] != '\0') {
            snprintf(name->backing_key, sizeof(name->backing_key), "%s", key);
            return true;
        }
        RETURN_IF_FAILED(value_take(name, known, key, option->value, error));
        name->has_empty_backing = name->has_empty_backing || (is_backing && !option->is_null);
        name->no_locks = name->no_locks || (strcmp(key, "locking") == 0 && strcmp(option->value, "off") == 0);
        return true;
    }
    if (key != option->key && strncmp(key, "backing.", 8) == 0) {
        return error_set(error, ERROR_USAGE, NULL, "Driver doesn't support backing files");
    }
    if (nodes == DRIVER_NODE_FILE) {
        return error_set(error, ERROR_USAGE, NULL, "Block protocol 'file' doesn't support the option '%s'", key);
    }
    if (driver == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "The option '%s' is not supported", key);
    }
    return error_set(error, ERROR_USAGE, NULL, "Block format '%s' does not support the option '%s'", driver, key);
}
