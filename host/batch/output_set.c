/* SPDX-License-Identifier: Apache-2.0 */
#include "host/batch/output_set.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/job/files/file_place.h"

/* Two numbers, what stands between, and a name. */
#define KEY_LEN (NAME_MAX + 64)

struct output_keys {
    char place[KEY_LEN]; /* empty: it leads nowhere that is known */
    char file[64];       /* empty: the name alone counts */
};

void output_set_release(struct output_set *set)
{
    id_set_release(&set->keys);
    free(set->directory);
    *set = (struct output_set){0};
}

static void place_key(struct output_keys *keys, dev_t device, ino_t inode, const char *name)
{
    snprintf(keys->place, sizeof(keys->place), "%" PRIx64 ":%" PRIx64 "/%s", (uint64_t)device, (uint64_t)inode, name);
}

/* Where the job will find it, after links. */
static void keys_look(struct output_keys *keys, const char *path)
{
    struct file_place place;
    struct stat directory;
    if (file_place_look(&place, path) != 0) {
        return;
    }
    if (place.directory_fd >= 0 && fstat(place.directory_fd, &directory) == 0) {
        place_key(keys, directory.st_dev, directory.st_ino, place.name);
    }
    if (place.handle >= 0 && S_ISREG(place.status.st_mode) && place.status.st_nlink > 1) {
        snprintf(keys->file, sizeof(keys->file), "%" PRIx64 ":%" PRIx64, (uint64_t)place.status.st_dev,
                 (uint64_t)place.status.st_ino);
    }
    file_place_release(&place);
}

static bool directory_find(struct output_set *set, const char *path, size_t len)
{
    struct stat status;
    if (set->directory != NULL && strlen(set->directory) == len && memcmp(set->directory, path, len) == 0) {
        return true;
    }
    free(set->directory);
    set->directory = strndup(path, len);
    if (set->directory == NULL || stat(len > 0 ? set->directory : ".", &status) != 0) {
        free(set->directory);
        set->directory = NULL;
        return false;
    }
    set->device = status.st_dev;
    set->inode = status.st_ino;
    return true;
}

static void keys_guess(struct output_set *set, struct output_keys *keys, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    if (name[0] != '\0' && strlen(name) <= NAME_MAX && directory_find(set, path, (size_t)(name - path))) {
        place_key(keys, set->device, set->inode, name);
    }
}

bool output_set_add(struct output_set *set, const char *path, bool is_looked_at, bool *ret_is_new)
{
    struct output_keys keys = {.place = "", .file = ""};
    if (is_looked_at) {
        keys_look(&keys, path);
    } else {
        keys_guess(set, &keys, path);
    }
    const char *name = keys.place[0] != '\0' ? keys.place : path;
    *ret_is_new = !id_set_has(&set->keys, name) && (keys.file[0] == '\0' || !id_set_has(&set->keys, keys.file));
    return !*ret_is_new ||
           (id_set_add(&set->keys, name) && (keys.file[0] == '\0' || id_set_add(&set->keys, keys.file)));
}
