/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last component is resolved here and not by the kernel, because the output is put into the directory
 * of the link's target under the target's name, and because a dangling link names a file to create.
 */
#include "host/job/output_place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "host/job/files.h"

/* As many as the kernel follows (MAXSYMLINKS); the end of a chain of links. */
#define LINKS_MAX 40

/* Opens the directory of `path`, which is relative to at_fd, and finds the last component of the path. */
static int directory_open(int at_fd, const char *path, char ret_name[NAME_MAX + 1], int *ret_fd)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    size_t name_len = strlen(name);
    size_t directory_len = (size_t)(name - path);
    char directory[PATH_MAX];
    if (name_len > NAME_MAX || directory_len >= sizeof(directory)) {
        return ENAMETOOLONG;
    }
    memcpy(directory, path, directory_len);
    directory[directory_len] = '\0';
    int fd = openat(at_fd, directory_len > 0 ? directory : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    memcpy(ret_name, name, name_len + 1);
    *ret_fd = fd;
    return 0;
}

/*
 * In a sticky directory that everybody may write (/tmp), a link of somebody else is not followed, unless it
 * belongs to the directory's owner: the rule of the kernel's fs.protected_symlinks, which reading links
 * ourselves would go around.
 */
static bool link_may_be_followed(int directory_fd, const struct stat *link)
{
    struct stat directory;
    if (fstat(directory_fd, &directory) != 0) {
        return false;
    }
    bool is_shared = (directory.st_mode & S_ISVTX) != 0 && (directory.st_mode & S_IWOTH) != 0;
    return !is_shared || link->st_uid == geteuid() || link->st_uid == directory.st_uid;
}

/* Replaces *place by what the link in it points to. Takes the old directory_fd. Returns 0 or an errno. */
static int link_follow(struct output_place *place, int link_fd)
{
    struct stat link;
    char target[PATH_MAX];
    if (fstat(link_fd, &link) != 0) {
        return errno;
    }
    if (!link_may_be_followed(place->directory_fd, &link)) {
        return EACCES;
    }
    ssize_t target_len = readlinkat(link_fd, "", target, sizeof(target));
    if (target_len < 0) {
        return errno;
    }
    if (target_len == 0 || (size_t)target_len >= sizeof(target)) {
        return ENAMETOOLONG;
    }
    target[target_len] = '\0';
    int directory_fd;
    int result = directory_open(place->directory_fd, target, place->name, &directory_fd);
    if (result != 0) {
        return result;
    }
    close(place->directory_fd);
    place->directory_fd = directory_fd;
    return 0;
}

/* Follows links until place->name is none. Returns 0 or an errno. */
static int links_follow(struct output_place *place)
{
    for (int link_count = 0; link_count <= LINKS_MAX; link_count++) {
        if (place->name[0] == '\0') {
            return EISDIR; /* the path, or a link's target, ends in a slash */
        }
        int fd = openat(place->directory_fd, place->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) {
            place->exists = false;
            return errno == ENOENT ? 0 : errno;
        }
        int result = fstat(fd, &place->status) == 0 ? 0 : errno;
        if (result != 0 || !S_ISLNK(place->status.st_mode)) {
            place->exists = true;
            close(fd);
            return result;
        }
        result = link_follow(place, fd);
        close(fd);
        if (result != 0) {
            return result;
        }
    }
    return ELOOP;
}

/*
 * What the kernel finds under the path must be what we found: it differs for the links of /proc/self/fd, whose
 * text is no path, and when somebody changes links under our hands.
 */
static bool place_check(const struct output_place *place, const struct stat *seen, const char *path,
                        struct error *error)
{
    if (place->exists && seen != NULL) {
        struct file_identity found = file_identity(&place->status);
        struct file_identity expected = file_identity(seen);
        if (file_identity_equal(&found, &expected)) {
            return true;
        }
    } else if (!place->exists && seen == NULL) {
        return true;
    }
    return error_set(error, ERROR_USAGE, path, "cannot tell where the symbolic link leads");
}

bool output_place_is_descriptor(const char *path)
{
    char link[PATH_MAX];
    snprintf(link, sizeof(link), "%s", path);
    for (int link_count = 0; link_count <= LINKS_MAX; link_count++) {
        struct stat status;
        struct statfs system;
        char target[PATH_MAX];
        int fd = open(link, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        bool is_link = fd >= 0 && fstat(fd, &status) == 0 && S_ISLNK(status.st_mode);
        bool is_descriptor = is_link && fstatfs(fd, &system) == 0 && system.f_type == PROC_SUPER_MAGIC;
        target[0] = '\0';
        ssize_t len = is_link ? readlinkat(fd, "", target, sizeof(target) - 1) : -1;
        if (fd >= 0) {
            close(fd);
        }
        if (is_descriptor || len <= 0) {
            /* "pipe:[12345]" and the like, or a path; others below /proc, such as /proc/self, are relative. */
            return is_descriptor && (target[0] == '/' || strchr(target, ':') != NULL);
        }
        target[len] = '\0';
        const char *slash = strrchr(link, '/');
        int directory_len = target[0] == '/' || slash == NULL ? 0 : (int)(slash - link) + 1;
        char next[PATH_MAX];
        int next_len = snprintf(next, sizeof(next), "%.*s%s", directory_len, link, target);
        if (next_len < 0 || (size_t)next_len >= sizeof(next)) {
            return false;
        }
        memcpy(link, next, (size_t)next_len + 1);
    }
    return false;
}

bool output_place_open(struct output_place *ret_place, const char *path, struct error *error)
{
    if (path[0] == '\0') {
        return error_set(error, ERROR_USAGE, NULL, "the name of the output is empty");
    }
    struct stat seen;
    bool is_seen = stat(path, &seen) == 0;
    if (!is_seen && errno != ENOENT) {
        return error_set(error, ERROR_IO, path, "cannot open: %s", strerror(errno));
    }
    RETURN_IF_FAILED(!is_seen || file_type_check(&seen, path, error));

    struct output_place place = {.directory_fd = -1};
    int result = directory_open(AT_FDCWD, path, place.name, &place.directory_fd);
    if (result == 0) {
        result = links_follow(&place);
    }
    if (result != 0) {
        error_fill(error, ERROR_IO, path, "cannot create: %s", strerror(result));
    } else if (place_check(&place, is_seen ? &seen : NULL, path, error)) {
        *ret_place = place;
        return true;
    }
    if (place.directory_fd >= 0) {
        close(place.directory_fd);
    }
    return false;
}
