/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/image_extents.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "host/cli/reach.h"
#include "host/job/files.h"

static const char suffix[] = ".vmdk";

/* For reach_do. */
struct search {
    struct job *job;
    const char *path; /* of the image */
    unsigned int owner;
    struct stat image;
    struct error *error;
};

/* Whether there is such a file, which is the image's business: *ret_found. What is something else is left alone. */
static bool extent_take(const struct search *search, const char *mark, bool *ret_found)
{
    char path[PATH_MAX];
    struct stat status;
    int stem_len = (int)(strlen(search->path) - strlen(suffix));
    int len = snprintf(path, sizeof(path), "%.*s-%s%s", stem_len, search->path, mark, suffix);
    *ret_found = len > 0 && len < (int)sizeof(path) && lstat(path, &status) == 0 && S_ISREG(status.st_mode) &&
                 status.st_nlink == 1 && status.st_uid == search->image.st_uid;
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

static bool search_do(void *context)
{
    struct search *search = context;
    bool found;
    if (stat(search->path, &search->image) != 0 || !S_ISREG(search->image.st_mode) ||
        search->image.st_size > IMAGE_DESCRIPTOR_LEN_MAX) {
        return true;
    }
    return extent_take(search, "flat", &found) && series_take(search, 's') && series_take(search, 'f');
}

bool image_extents_take(struct job *job, const char *path, unsigned int owner, struct error *error)
{
    struct search search = {.job = job, .path = path, .owner = owner, .error = error};
    size_t len = strlen(path);
    if (len <= strlen(suffix) || strcmp(path + len - strlen(suffix), suffix) != 0) {
        return true;
    }
    return reach_do(search_do, &search, error);
}
