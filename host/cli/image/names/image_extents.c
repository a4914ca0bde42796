/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/names/image_extents.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "host/cli/reach.h"
#include "host/job/files/files.h"

/* What the names of extents end with, too: from the last dot of the file's name on, its end if there is none. */
static const char *suffix_find(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash != NULL ? slash : path, '.');
    return dot != NULL ? dot : path + strlen(path);
}

bool image_extent_path(const char *path, const char *mark, char *ret_path, size_t room, struct error *error)
{
    const char *suffix = suffix_find(path);
    int len = snprintf(ret_path, room, "%.*s-%s%s", (int)(suffix - path), path, mark, suffix);
    return (len > 0 && (size_t)len < room) ||
           error_set(error, ERROR_USAGE, NULL, "the name of the extent's file is too long");
}

static bool may_have_extents(const char *path, bool is_vmdk)
{
    return is_vmdk || strcmp(suffix_find(path), ".vmdk") == 0;
}

/* For reach_do. */
struct search {
    struct job *job;
    const char *path; /* of the image */
    unsigned int owner;
    struct stat image;
    char letter;        /* of the series that is counted, */
    unsigned int count; /* and how many there are */
    struct error *error;
};

/* Whether there is such a file, which is the image's business. What is something else is left alone. */
static bool extent_find(const struct search *search, const char *mark, char *ret_path, size_t room,
                        struct stat *ret_status)
{
    struct error ignored = {0};
    return image_extent_path(search->path, mark, ret_path, room, &ignored) && lstat(ret_path, ret_status) == 0 &&
           S_ISREG(ret_status->st_mode) && ret_status->st_nlink == 1 && ret_status->st_uid == search->image.st_uid;
}

/* *ret_found: there is one. */
static bool extent_take(const struct search *search, const char *mark, bool *ret_found)
{
    char path[PATH_MAX];
    struct stat status;
    *ret_found = extent_find(search, mark, path, sizeof(path), &status);
    if (!*ret_found) {
        return true;
    }
    struct job_output output = {
        .image = {path, JOB_SECTOR_LEN_MIN, search->job->output.backend},
        .role = JOB_OUTPUT_EXTENT,
        .owner = search->owner,
        .has_identity = true,
        .identity = file_identity(&status),
    };
    return job_outputs_add(&search->job->further_outputs, &output, search->error);
}

/* Ends: as many as a job may write. */
static bool series_take(const struct search *search, char letter)
{
    bool found = true;
    for (unsigned int number = 1; found && search->job->further_outputs.count < JOB_FURTHER_OUTPUT_MAX; number++) {
        char mark[16];
        snprintf(mark, sizeof(mark), "%c%03u", letter, number);
        RETURN_IF_FAILED(extent_take(search, mark, &found));
    }
    return true;
}

/* Whether the image itself is there, and no longer than a descriptor. */
static bool image_find(struct search *search)
{
    return stat(search->path, &search->image) == 0 && S_ISREG(search->image.st_mode) &&
           search->image.st_size <= IMAGE_DESCRIPTOR_LEN_MAX;
}

static bool search_do(void *context)
{
    struct search *search = context;
    bool found;
    return !image_find(search) ||
           (extent_take(search, "flat", &found) && series_take(search, 's') && series_take(search, 'f'));
}

bool image_extents_take(struct job *job, const char *path, unsigned int owner, bool is_vmdk, struct error *error)
{
    struct search search = {.job = job, .path = path, .owner = owner, .error = error};
    return !may_have_extents(path, is_vmdk) || reach_do(search_do, &search, error);
}

/* For reach_do. */
struct addition {
    struct job *job;
    const char *path;
    const struct image_new_extents *extents;
    struct error *error;
};

static bool add_do(void *context)
{
    const struct addition *addition = context;
    struct job *job = addition->job;
    struct error *error = addition->error;
    const struct image_new_extents *extents = addition->extents;
    for (unsigned int i = 0; i < extents->count; i++) {
        char mark[16];
        char extent_path[PATH_MAX];
        struct stat status;
        snprintf(mark, sizeof(mark), "%c%03u", extents->letter, extents->first + i);
        RETURN_IF_FAILED(image_extent_path(addition->path, mark, extent_path, sizeof(extent_path), error));
        if (lstat(extent_path, &status) == 0) { /* a link that leads to nothing, too */
            return error_set(error, ERROR_USAGE, extent_path, "is already there, and is no part of the image");
        }
        struct job_output output = {
            .image = {extent_path, JOB_SECTOR_LEN_MIN, job->output.backend},
            .role = JOB_OUTPUT_NEW_EXTENT,
        };
        RETURN_IF_FAILED(job_outputs_add(&job->further_outputs, &output, error));
    }
    return true;
}

bool image_extents_add(struct job *job, const char *path, const struct image_new_extents *extents, struct error *error)
{
    struct addition addition = {job, path, extents, error};
    return extents->count == 0 || reach_do(add_do, &addition, error);
}

static bool count_do(void *context)
{
    struct search *search = context;
    bool found = image_find(search);
    while (found && search->count < JOB_FURTHER_OUTPUT_MAX) { /* ends: as many as a job may write */
        char mark[16];
        char path[PATH_MAX];
        struct stat status;
        snprintf(mark, sizeof(mark), "%c%03u", search->letter, search->count + 1);
        found = extent_find(search, mark, path, sizeof(path), &status);
        search->count += found ? 1 : 0;
    }
    return true;
}

bool image_extents_count(const char *path, bool is_vmdk, char letter, unsigned int *ret_count, struct error *error)
{
    struct search search = {.path = path, .letter = letter, .error = error};
    RETURN_IF_FAILED(!may_have_extents(path, is_vmdk) || reach_do(count_do, &search, error));
    *ret_count = search.count;
    return true;
}
