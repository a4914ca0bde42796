/* SPDX-License-Identifier: Apache-2.0 */
#include "host/batch/result_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/batch/line_file.h"

struct reading {
    result_handler handler;
    void *context;
    struct result_files_count count;
};

static bool line_take(struct reading *reading, const struct line_file *file, struct error *error)
{
    json_t *line = file->is_too_long ? NULL : json_loadb(file->buffer, file->len, 0, NULL);
    if (!json_is_object(line)) {
        json_decref(line);
        reading->count.torn += !line_file_is_blank(file);
        return true;
    }
    bool success = reading->handler(reading->context, line, error);
    json_decref(line);
    return success;
}

static bool file_read(struct reading *reading, const char *path, struct error *error)
{
    struct line_file file;
    RETURN_IF_FAILED(line_file_open(&file, path, error));
    reading->count.files++;
    bool success = true;
    while (success && line_file_next(&file, error)) {
        success = line_take(reading, &file, error);
    }
    line_file_close(&file);
    return success && !error_is_set(error);
}

static bool is_digits(const char *text, size_t len)
{
    return len > 0 && len < 8 && strspn(text, "0123456789") >= len;
}

/* "NAME.I-of-N". */
static bool is_shard_of(const char *entry, const char *name)
{
    static const char between[] = "-of-";
    size_t len = strlen(name);
    if (strncmp(entry, name, len) != 0 || entry[len] != '.') {
        return false;
    }
    const char *number = &entry[len + 1];
    const char *count = strstr(number, between);
    return count != NULL && is_digits(number, (size_t)(count - number)) &&
           is_digits(count + strlen(between), strlen(count) - strlen(between));
}

static bool shards_read(struct reading *reading, DIR *directory, const char *base, const char *name,
                        struct error *error)
{
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) { /* ends with the directory */
        char *path = NULL;
        if (!is_shard_of(entry->d_name, name)) {
            continue;
        }
        if (asprintf(&path, "%.*s%s", (int)(name - base), base, entry->d_name) < 0) {
            return error_set(error, ERROR_HOST, NULL, "out of memory");
        }
        bool success = file_read(reading, path, error);
        free(path);
        RETURN_IF_FAILED(success);
    }
    return true;
}

bool result_files_read(const char *base, result_handler handler, void *context, struct result_files_count *ret_count,
                       struct error *error)
{
    struct reading reading = {.handler = handler, .context = context};
    const char *slash = strrchr(base, '/');
    const char *name = slash != NULL ? slash + 1 : base;
    char *folder = slash != NULL ? strndup(base, (size_t)(name - base)) : strdup(".");
    DIR *directory = folder != NULL ? opendir(folder) : NULL;
    bool success = directory != NULL || error_set(error, ERROR_IO, folder, "cannot read: %s", strerror(errno));
    success = success && (access(base, F_OK) != 0 || file_read(&reading, base, error)) &&
              shards_read(&reading, directory, base, name, error);
    if (directory != NULL) {
        closedir(directory);
    }
    free(folder);
    *ret_count = reading.count;
    return success;
}
