/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each component is resolved here and not by the kernel, which trusts everybody's links where fs.protected_symlinks is
 * not set, and for root almost everywhere. And an output is put into the directory of the link's target under the
 * target's name, and a dangling link names a file to create.
 */
#include "host/job/files/file_place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "host/job/files/file_handle.h"
#include "host/job/files/file_owner.h"
#include "host/job/files/files.h"

/* As many as the kernel follows (MAXSYMLINKS); the end of a chain of links. */
#define LINKS_MAX 40
/* An errno for a link that we do not follow: no call here fails with it. */
#define ELINK_OF_ANOTHER EMLINK

struct walk {
    bool is_root;
    int directory_fd;    /* O_PATH, or AT_FDCWD */
    char rest[PATH_MAX]; /* of the path */
    unsigned int link_count;
};

static void directory_replace(struct walk *walk, int fd)
{
    if (walk->directory_fd >= 0) {
        close(walk->directory_fd);
    }
    walk->directory_fd = fd;
}

/* Goes to a directory by a path from where we are. Returns 0 or an errno. */
static int directory_enter(struct walk *walk, const char *path, int flags)
{
    int fd = openat(walk->directory_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC | flags);
    if (fd < 0) {
        return errno;
    }
    directory_replace(walk, fd);
    return 0;
}

/* The link's text goes before the rest of the path. Returns 0 or an errno. */
static int text_follow(struct walk *walk, int link_fd, const char *rest)
{
    char path[PATH_MAX];
    ssize_t len = readlinkat(link_fd, "", path, sizeof(path));
    if (len < 0) {
        return errno;
    }
    size_t rest_len = strlen(rest);
    if (len == 0 || (size_t)len + rest_len >= sizeof(path)) {
        return ENAMETOOLONG;
    }
    memcpy(path + len, rest, rest_len + 1);
    memcpy(walk->rest, path, (size_t)len + rest_len + 1);
    return walk->rest[0] == '/' ? directory_enter(walk, "/", 0) : 0;
}

/*
 * In a directory that everybody may write, or a sticky one of a group, a link of somebody else is not followed, unless
 * it belongs to the directory's owner: a wider rule than that of the kernel's fs.protected_symlinks, which is about
 * directories that are both (/tmp), and which reading links ourselves would go around. For root, every directory is one
 * where somebody might lay a trap.
 */
static bool link_may_be_followed(const struct walk *walk, const struct stat *link)
{
    struct stat directory;
    if (fstat(walk->directory_fd, &directory) != 0) {
        return false;
    }
    bool is_shared =
        (directory.st_mode & S_IWOTH) != 0 || (directory.st_mode & (S_ISVTX | S_IWGRP)) == (S_ISVTX | S_IWGRP);
    return (!is_shared && !walk->is_root) || link->st_uid == geteuid() || file_owner_is_of_directory(link, &directory);
}

static bool is_on_proc(int fd)
{
    struct statfs status;
    return fstatfs(fd, &status) == 0 && status.f_type == PROC_SUPER_MAGIC;
}

/* Follows the link that `name` is, with `rest` behind it. Returns 0 or an errno. */
static int link_follow(struct walk *walk, int link_fd, const struct stat *link, const char *rest)
{
    if (walk->link_count++ == LINKS_MAX) {
        return ELOOP;
    }
    if (!link_may_be_followed(walk, link)) {
        return ELINK_OF_ANOTHER;
    }
    return text_follow(walk, link_fd, rest);
}

/* The last component is `name`: what stands there. Sets *ret_is_link when that is a link, which was followed. */
static int last_look(struct walk *walk, const char *name, struct file_place *place, bool *ret_is_link)
{
    int fd = openat(walk->directory_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    *ret_is_link = false;
    if (fd < 0) {
        place->handle = -1;
        return errno == ENOENT ? 0 : errno;
    }
    int result = fstat(fd, &place->status) == 0 ? 0 : errno;
    if (result == 0 && S_ISLNK(place->status.st_mode) && is_on_proc(fd)) {
        /* The text of such a link is no path (/proc/self/fd/1): it leads to the file itself. */
        close(fd);
        fd = openat(walk->directory_fd, name, O_PATH | O_CLOEXEC);
        result = fd >= 0 && fstat(fd, &place->status) == 0 ? 0 : errno;
        directory_replace(walk, -1);
    } else if (result == 0 && S_ISLNK(place->status.st_mode)) {
        *ret_is_link = true;
        result = link_follow(walk, fd, &place->status, "");
    }
    if (result != 0 || *ret_is_link) {
        if (fd >= 0) {
            close(fd);
        }
        return result;
    }
    place->handle = fd;
    return 0;
}

/* A component on the way. `name` ends at `rest`, which begins with a slash. Returns 0 or an errno. */
static int component_pass(struct walk *walk, const char *name, const char *rest)
{
    char behind[PATH_MAX];
    struct stat status;
    snprintf(behind, sizeof(behind), "%s", rest);
    int fd = openat(walk->directory_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    int result = fstat(fd, &status) == 0 ? 0 : errno;
    if (result == 0 && S_ISLNK(status.st_mode) && !is_on_proc(fd)) {
        result = link_follow(walk, fd, &status, behind);
    } else if (result == 0) {
        /* Of /proc, the kernel's own. Again by name: with O_DIRECTORY, what is mounted on demand is mounted. */
        result = directory_enter(walk, name, S_ISLNK(status.st_mode) ? 0 : O_NOFOLLOW);
        memmove(walk->rest, behind, strlen(behind) + 1);
    }
    close(fd);
    return result;
}

/* All but the last component, which stays as the rest. Returns 0 or an errno. */
static int way_go(struct walk *walk)
{
    if (walk->directory_fd == AT_FDCWD) {
        int result = directory_enter(walk, walk->rest[0] == '/' ? "/" : ".", 0);
        if (result != 0) {
            return result;
        }
    }
    for (;;) { /* ends with the path: every round passes a component, or follows a link, and those are counted */
        char name[NAME_MAX + 1];
        size_t slashes = strspn(walk->rest, "/");
        memmove(walk->rest, walk->rest + slashes, strlen(walk->rest + slashes) + 1);
        size_t len = strcspn(walk->rest, "/");
        if (walk->rest[len] == '\0') {
            return 0;
        }
        if (len > NAME_MAX) {
            return ENAMETOOLONG;
        }
        memcpy(name, walk->rest, len);
        name[len] = '\0';
        int result = component_pass(walk, name, walk->rest + len);
        if (result != 0) {
            return result;
        }
    }
}

/* Returns 0 or an errno. */
static int place_find(struct walk *walk, struct file_place *place)
{
    for (;;) { /* ends: links are counted */
        bool is_link;
        int result = way_go(walk);
        if (result != 0) {
            return result;
        }
        if (walk->rest[0] == '\0') {
            walk->rest[0] = '.'; /* the path ends in a slash */
            walk->rest[1] = '\0';
        }
        if (strlen(walk->rest) > NAME_MAX) {
            return ENAMETOOLONG;
        }
        memcpy(place->name, walk->rest, strlen(walk->rest) + 1);
        if (place->named_fd < 0 && (place->named_fd = fcntl(walk->directory_fd, F_DUPFD_CLOEXEC, 3)) < 0) {
            return errno;
        }
        result = last_look(walk, place->name, place, &is_link);
        if (result != 0 || !is_link) {
            return result;
        }
    }
}

int file_place_look(struct file_place *ret_place, const char *path)
{
    struct walk walk = {.is_root = geteuid() == 0, .directory_fd = AT_FDCWD};
    struct file_place place = {.handle = -1, .directory_fd = -1, .named_fd = -1};
    size_t len = strlen(path);
    int result = len < sizeof(walk.rest) ? 0 : ENAMETOOLONG;
    if (result == 0) {
        memcpy(walk.rest, path, len + 1);
        result = len > 0 ? place_find(&walk, &place) : ENOENT;
    }
    if (result != 0) {
        directory_replace(&walk, -1);
        file_place_release(&place);
        return result;
    }
    place.directory_fd = walk.directory_fd;
    *ret_place = place;
    return 0;
}

const char *file_place_problem(int result)
{
    return result == ELINK_OF_ANOTHER ? "a symbolic link on the way belongs to somebody else" : strerror(result);
}

bool file_place_find(struct file_place *ret_place, const char *path, enum error_reason reason, struct error *error)
{
    int result = file_place_look(ret_place, path);
    return result == 0 || error_set_cause(error, reason, ERROR_IO, path, file_place_problem(result));
}

void file_place_release(struct file_place *place)
{
    if (place->directory_fd >= 0) {
        close(place->directory_fd);
    }
    if (place->handle >= 0) {
        close(place->handle);
    }
    if (place->named_fd >= 0) {
        close(place->named_fd);
    }
    place->directory_fd = -1;
    place->named_fd = -1;
    place->handle = -1;
}

bool file_place_is_descriptor(const struct file_place *place)
{
    return place->handle >= 0 && place->directory_fd < 0;
}

/* The directory of what stands at a place by a name. */
static bool directory_know(const struct file_place *place, struct stat *ret_directory)
{
    return place->directory_fd >= 0 && fstat(place->directory_fd, ret_directory) == 0;
}

bool file_place_is_trap(const struct file_place *place)
{
    struct stat directory;
    if (!directory_know(place, &directory)) {
        return false;
    }
    bool is_shared = (directory.st_mode & S_ISVTX) != 0 && (directory.st_mode & (S_IWOTH | S_IWGRP)) != 0;
    return is_shared && place->status.st_uid != geteuid() && !file_owner_is_of_directory(&place->status, &directory);
}

bool file_place_name_is_trap(const struct file_place *place)
{
    struct stat directory;
    if (!S_ISREG(place->status.st_mode) || place->status.st_nlink < 2 || !directory_know(place, &directory)) {
        return false;
    }
    bool is_others = (directory.st_mode & S_IWOTH) != 0 || (geteuid() == 0 && directory.st_uid != 0);
    bool is_of_directory = (directory.st_mode & S_IWOTH) == 0 && file_owner_is_of_directory(&place->status, &directory);
    return is_others && !is_of_directory;
}

int file_place_open(const struct file_place *place, int flags)
{
    int fd = file_handle_open(place->handle, flags);
    if (fd >= 0 || errno != ENOENT || place->directory_fd < 0) {
        return fd;
    }
    /* Without /proc: by name, if that is still the same file. */
    struct stat status;
    fd = openat(place->directory_fd, place->name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return -1;
    }
    if (fstat(fd, &status) == 0 && status.st_dev == place->status.st_dev && status.st_ino == place->status.st_ino) {
        fcntl(fd, F_SETFL, flags & O_APPEND);
        return fd;
    }
    close(fd);
    errno = ESTALE;
    return -1;
}
