/* SPDX-License-Identifier: Apache-2.0 */
/* What the user gives the policy: directories and files, which are held from then on; and where names in an image
 * start. */
#include "host/job/policy/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/job/files/file_handle.h"
#include "host/job/files/file_place.h"
#include "host/job/policy/policy_lookup.h"
#include "host/job/policy/policy_path.h"

void policy_directory_release(struct policy_directory *directory)
{
    if (directory->path != NULL) {
        close(directory->fd);
        free(directory->path);
        free(directory->given);
    }
    *directory = (struct policy_directory){0};
}

/* Without /proc, which tells where a handle is: by name, if that is still the same directory. Takes over `fd`. */
static bool directory_take_by_name(int fd, const char *name, struct policy_directory *ret_directory)
{
    struct stat held;
    struct stat named;
    char *path = realpath(name, NULL);
    bool is_same = path != NULL && fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_dev == named.st_dev &&
                   held.st_ino == named.st_ino;
    if (!is_same) {
        errno = path != NULL ? ESTALE : errno;
        free(path);
        close(fd);
        return false;
    }
    *ret_directory = (struct policy_directory){.fd = fd, .path = path};
    return true;
}

/* As the user wrote it, from the root on. NULL with errno. */
static char *path_from_root(const char *path)
{
    char *absolute = NULL;
    if (path[0] == '/') {
        return strdup(path);
    }
    char *working = getcwd(NULL, 0);
    if (working != NULL && asprintf(&absolute, "%s/%s", strcmp(working, "/") == 0 ? "" : working, path) < 0) {
        absolute = NULL;
        errno = ENOMEM;
    }
    free(working);
    return absolute;
}

/* A directory that is called `name`; takes over `fd`, which may be negative. False with errno. */
static bool directory_take(int fd, const char *name, struct policy_directory *ret_directory)
{
    char path[PATH_MAX];
    bool has_no_proc = fd >= 0 && !file_handle_path(fd, path) && errno == ENOENT;
    struct policy_directory directory;
    if (!(has_no_proc ? directory_take_by_name(fd, name, &directory) : policy_directory_take(fd, &directory))) {
        return false;
    }
    char *absolute = path_from_root(name);
    directory.given = absolute != NULL && strlen(absolute) < PATH_MAX ? path_clean(absolute) : NULL;
    free(absolute);
    *ret_directory = directory;
    return true;
}

/* The directory of what `path` names. False with errno. */
static bool parent_hold(int held_fd, const char *path, struct policy_directory *ret_directory)
{
    char parent[PATH_MAX] = ".";
    int fd = fcntl(held_fd, F_DUPFD_CLOEXEC, 3);
    const char *slash = strrchr(path, '/');
    if (slash != NULL) {
        size_t len = slash == path ? 1 : (size_t)(slash - path);
        memcpy(parent, path, len);
        parent[len] = '\0';
    }
    return directory_take(fd, parent, ret_directory);
}

bool policy_directory_hold(int fd, const char *image_path, struct policy_directory *ret_directory, struct error *error)
{
    return parent_hold(fd, image_path, ret_directory) ||
           error_set(error, ERROR_IO, image_path, "cannot open its directory: %s", strerror(errno));
}

bool policy_directory_open(const char *image_path, struct policy_directory *ret_directory, struct error *error)
{
    struct file_place place;
    int result = file_place_look(&place, image_path);
    if (result != 0) {
        return error_set(error, ERROR_IO, image_path, "cannot open its directory: %s", file_place_problem(result));
    }
    bool success = policy_directory_hold(place.named_fd, image_path, ret_directory, error);
    file_place_release(&place);
    return success;
}

bool policy_allow(struct policy *policy, const char *path, struct error *error)
{
    if (policy->directory_count == POLICY_DIRECTORY_MAX) {
        return error_set(error, ERROR_USAGE, path, "more than %u directories for backing files", POLICY_DIRECTORY_MAX);
    }
    struct policy_directory *directory = &policy->directories[policy->directory_count];
    static const char problem[] = "cannot use as a directory for backing files";
    struct file_place place;
    int result = file_place_look(&place, path);
    if (result != 0) {
        return error_set(error, ERROR_USAGE, path, "%s: %s", problem, file_place_problem(result));
    }
    /* Again by its name, where it has one: what is mounted on demand is mounted. What stands there is no link. */
    int fd = file_place_is_descriptor(&place)
                 ? openat(place.handle, ".", O_PATH | O_DIRECTORY | O_CLOEXEC)
                 : openat(place.directory_fd, place.name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool success = directory_take(fd, path, directory);
    policy->directory_count += success ? 1 : 0;
    if (!success) {
        error_fill(error, ERROR_USAGE, path, "%s: %s", problem, strerror(errno));
    }
    file_place_release(&place);
    return success;
}

bool policy_named_open(const char *path, const char *what, bool may_be_device, struct policy_named *ret_named,
                       struct error *error)
{
    struct file_place place;
    char problem[64];
    snprintf(problem, sizeof(problem), "cannot use as %s", what);
    int result = file_place_look(&place, path);
    if (result != 0) {
        return error_set(error, ERROR_USAGE, path, "%s: %s", problem, file_place_problem(result));
    }
    struct policy_named named = {.handle = place.handle, .identity = file_identity(&place.status)};
    if (place.handle < 0) {
        error_fill(error, ERROR_USAGE, path, "%s: %s", problem, strerror(ENOENT));
    } else if (!S_ISREG(place.status.st_mode) && !(may_be_device && S_ISBLK(place.status.st_mode))) {
        error_fill(error, ERROR_USAGE, path, "%s: it is not a regular file", problem);
    } else if ((named.path = path_from_root(path)) == NULL || !parent_hold(place.named_fd, path, &named.directory)) {
        error_fill(error, ERROR_USAGE, path, "%s: %s", problem, strerror(errno));
    } else {
        place.handle = -1; /* it is the named file's */
        file_place_release(&place);
        *ret_named = named;
        return true;
    }
    file_place_release(&place);
    free(named.path);
    return false;
}

void policy_named_release(struct policy_named *named)
{
    if (named->path != NULL) {
        close(named->handle);
        free(named->path);
        policy_directory_release(&named->directory);
    }
    *named = (struct policy_named){0};
}

bool policy_allow_file(struct policy *policy, const char *path, const char *what, struct error *error)
{
    if (policy->file_count == POLICY_FILE_MAX) {
        return error_set(error, ERROR_USAGE, path, "more than %u backing files", POLICY_FILE_MAX);
    }
    RETURN_IF_FAILED(policy_named_open(path, what, false, &policy->files[policy->file_count], error));
    policy->file_count++;
    return true;
}

bool policy_allows_something(const struct policy *policy)
{
    return !policy->no_backing && (policy->allows_beside || policy->directory_count > 0 || policy->file_count > 0);
}

void policy_release(struct policy *policy)
{
    for (unsigned int i = 0; i < policy->directory_count; i++) {
        policy_directory_release(&policy->directories[i]);
    }
    for (unsigned int i = 0; i < policy->file_count; i++) {
        policy_named_release(&policy->files[i]);
    }
    *policy = (struct policy){0};
}
