/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/names/node_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/image/names/image_name.h"

#define NODE_NAME_KEY "node-name"

/* A node's name that counts: of two options with one key, the last one does. */
static bool is_name(const struct key_values *options, unsigned int index)
{
    const struct key_value *pair = &options->pairs[index];
    const char *dot = strrchr(pair->key, '.');
    return strcmp(dot != NULL ? dot + 1 : pair->key, NODE_NAME_KEY) == 0 && !pair->is_ignored &&
           key_values_find_pair(options, pair->key) == pair;
}

/* In which order QEMU makes the nodes of an image: that of its file, its own, and what is opened then. */
static int rank_of(const char *part)
{
    return strncmp(part, "file.", 5) == 0 ? 0 : strcmp(part, NODE_NAME_KEY) == 0 ? 1 : 2;
}

/* Of two keys, that of the node that is made later. */
static const char *later_of(const char *a, const char *b)
{
    size_t start = 0; /* of the first part that is another one */
    for (size_t i = 0; a[i] == b[i] && a[i] != '\0'; i++) {
        start = a[i] == '.' ? i + 1 : start;
    }
    return rank_of(a + start) > rank_of(b + start) ? a : b;
}

/* As QEMU says it of a node that is behind others: once for each of these. */
static bool fail(const char *key, const char *name, struct error *error)
{
    char detail[ERROR_DETAIL_LEN] = "";
    size_t len = 0;
    while (len < sizeof(detail) / 2) { /* ends: with the key, or where no more fits */
        if (strncmp(key, "backing.", 8) == 0) {
            len += (size_t)snprintf(detail + len, sizeof(detail) - len, IMAGE_BACKING_PROBLEM);
        }
        const char *dot = strchr(key, '.');
        if (dot == NULL) {
            break;
        }
        key = dot + 1;
    }
    snprintf(detail + len, sizeof(detail) - len, "Duplicate nodes with node-name='%s'", name);
    return error_set(error, ERROR_USAGE, NULL, "%s", detail);
}

static bool pair_is_apart(const struct key_values *options, unsigned int index, struct error *error)
{
    const struct key_value *pair = &options->pairs[index];
    for (unsigned int i = 0; i < index; i++) {
        const struct key_value *other = &options->pairs[i];
        if (strcmp(other->value, pair->value) == 0 && is_name(options, i)) {
            return fail(later_of(other->key, pair->key), pair->value, error);
        }
    }
    return true;
}

bool node_names_take(char **ret_names, const struct key_values *options, struct error *error)
{
    char *names = NULL;
    for (unsigned int i = 0; i < options->count; i++) {
        if (!is_name(options, i)) {
            continue;
        }
        char *longer = NULL;
        bool is_apart = pair_is_apart(options, i, error);
        if (is_apart && asprintf(&longer, "%s%s\n", names != NULL ? names : "", options->pairs[i].value) < 0) {
            is_apart = error_set(error, ERROR_HOST, NULL, "out of memory");
            longer = NULL;
        }
        free(names);
        names = longer;
        if (!is_apart) {
            return false;
        }
    }
    *ret_names = names;
    return true;
}

static bool has_line(const char *lines, const char *line, size_t len)
{
    while (*lines != '\0') { /* ends: each round takes a line, and each has a newline */
        size_t line_len = strcspn(lines, "\n");
        if (line_len == len && memcmp(lines, line, len) == 0) {
            return true;
        }
        lines += line_len + 1;
    }
    return false;
}

bool node_names_are_apart(const char *names, const char *others, struct error *error)
{
    while (names != NULL && others != NULL && *names != '\0') { /* ends: likewise */
        size_t len = strcspn(names, "\n");
        if (has_line(others, names, len)) {
            return error_set(error, ERROR_USAGE, NULL, "Duplicate nodes with node-name='%.*s'", (int)len, names);
        }
        names += len + 1;
    }
    return true;
}
