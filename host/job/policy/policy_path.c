/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/policy/policy_path.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* A clean path that grows by components; the root has no bytes. Never longer than what has been passed of a path. */
struct clean_path {
    char text[PATH_MAX]; /* not terminated */
    size_t len;
};

static void clean_path_leave(struct clean_path *clean)
{
    while (clean->len > 0 && clean->text[--clean->len] != '/') {
    }
}

static void clean_path_enter(struct clean_path *clean, const char *component, size_t len)
{
    if (len == 0 || (len == 1 && component[0] == '.')) {
        return;
    }
    if (len == 2 && memcmp(component, "..", 2) == 0) {
        clean_path_leave(clean);
        return;
    }
    clean->text[clean->len] = '/';
    memcpy(clean->text + clean->len + 1, component, len);
    clean->len += 1 + len;
}

/* Goes on by one component of `path` and the slashes before it. Returns the rest. */
static const char *clean_path_step(struct clean_path *clean, const char *path)
{
    path += strspn(path, "/");
    size_t len = strcspn(path, "/");
    clean_path_enter(clean, path, len);
    return path + len;
}

static bool clean_path_is_within(const struct clean_path *clean, const char *directory, size_t directory_len)
{
    return clean->len >= directory_len && memcmp(clean->text, directory, directory_len) == 0 &&
           (clean->len == directory_len || clean->text[directory_len] == '/');
}

const char *path_beneath(const char *path, const char *directory)
{
    size_t directory_len = strcmp(directory, "/") == 0 ? 0 : strlen(directory);
    struct clean_path clean;
    clean.len = 0;
    const char *beneath = directory_len == 0 ? path : NULL;
    while (*path != '\0') { /* ends: every round passes some of `path` */
        path = clean_path_step(&clean, path);
        if (!clean_path_is_within(&clean, directory, directory_len)) {
            beneath = NULL;
        } else if (beneath == NULL) {
            beneath = path;
        }
    }
    if (beneath == NULL) {
        return NULL;
    }
    beneath += strspn(beneath, "/");
    return beneath[0] != '\0' ? beneath : ".";
}

char *path_clean(const char *path)
{
    struct clean_path clean;
    clean.len = 0;
    while (*path != '\0') { /* ends: every round passes some of `path` */
        const char *component = path + strspn(path, "/");
        path = clean_path_step(&clean, path);
        if (path - component == 2 && memcmp(component, "..", 2) == 0) {
            return NULL;
        }
    }
    return clean.len > 0 ? strndup(clean.text, clean.len) : strdup("/");
}

void path_parent(const char *path, char parent[PATH_MAX])
{
    struct clean_path clean;
    clean.len = 0;
    while (*path != '\0') { /* ends: every round passes some of `path` */
        path = clean_path_step(&clean, path);
    }
    clean_path_leave(&clean);
    if (clean.len == 0) {
        clean.text[clean.len++] = '/';
    }
    memcpy(parent, clean.text, clean.len);
    parent[clean.len] = '\0';
}

char *path_combine(const char *referrer, struct span name)
{
    static const char file_protocol[] = "file:";
    size_t protocol_len = sizeof(file_protocol) - 1;
    if (name.len >= protocol_len && memcmp(name.data, file_protocol, protocol_len) == 0) {
        name = (struct span){name.data + protocol_len, name.len - protocol_len};
    }
    const char *slash = strrchr(referrer, '/');
    bool is_absolute = name.len > 0 && name.data[0] == '/';
    size_t directory_len = slash != NULL && !is_absolute ? (size_t)(slash - referrer) + 1 : 0;
    char *path = malloc(directory_len + name.len + 1);
    if (path != NULL) {
        memcpy(path, referrer, directory_len);
        memcpy(path + directory_len, name.data, name.len);
        path[directory_len + name.len] = '\0';
    }
    return path;
}
