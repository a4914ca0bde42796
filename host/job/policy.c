/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A name is joined to its image's directory, and ".." is resolved as text: that finds the allowed directory to try,
 * and refuses what is in none before anything is looked at. What counts then is the kernel, which resolves the rest
 * beneath that directory (openat2(2), RESOLVE_BENEATH): no link leads out of it, no ".." does, nor a magic link of
 * /proc, and a directory that is replaced by a link meanwhile is resolved by the same rules.
 *
 * The first handle on a file is O_PATH: a FIFO does not block, a device is not disturbed. What turns out to be a
 * regular file is then opened through its handle, so it is the very one that was looked at.
 */
#include "host/job/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/job/policy_path.h"

/* A name in an error message is cut to this. */
#define SHOWN_NAME_LEN 80
/* How long a directory may be in the advice at the end of a refusal: there it must not be cut. */
#define ADVISED_LEN_MAX 80
/* A path with ".." is tried again when something was renamed anywhere meanwhile; not for as long as others like. */
#define LOOK_UP_ATTEMPTS 100
/* "/proc/self/fd/" and a number */
#define HANDLE_LINK_LEN 32

struct request {
    const struct policy *policy;
    const struct policy_directory *from; /* the image's */
    char name_buffer[PATH_MAX];
    const char *name;    /* without "file:" */
    char path[PATH_MAX]; /* absolute; after the image's directory as the image says it */
};

/* What to open: `beneath` the directory, "." for itself. */
struct target {
    const struct policy_directory *directory;
    const char *beneath;
};

static bool refuse(const char *name, struct error *error, const char *reason)
{
    return error_set(error, ERROR_REFUSED, NULL, "refused to open '%.*s'%s: %s", SHOWN_NAME_LEN, name,
                     strlen(name) > SHOWN_NAME_LEN ? " (cut)" : "", reason);
}

static void handle_link(char link[HANDLE_LINK_LEN], int handle)
{
    snprintf(link, HANDLE_LINK_LEN, "/proc/self/fd/%d", handle);
}

/* The canonical path of an open directory. */
static bool handle_path(int handle, char path[PATH_MAX])
{
    char link[HANDLE_LINK_LEN];
    handle_link(link, handle);
    ssize_t len = readlink(link, path, PATH_MAX);
    if (len < 0) {
        return false;
    }
    if (len == PATH_MAX || path[0] != '/') { /* the latter: outside of this process's root */
        errno = len == PATH_MAX ? ENAMETOOLONG : ENOENT;
        return false;
    }
    path[len] = '\0';
    return true;
}

/* Takes over `fd`, which may be negative; errno is set on failure. */
static bool directory_take(int fd, struct policy_directory *ret_directory)
{
    if (fd < 0) {
        return false;
    }
    char path[PATH_MAX];
    char *copy = handle_path(fd, path) ? strdup(path) : NULL;
    if (copy == NULL) {
        int saved_errno = errno;
        close(fd);
        errno = saved_errno;
        return false;
    }
    *ret_directory = (struct policy_directory){.fd = fd, .path = copy};
    return true;
}

void policy_directory_release(struct policy_directory *directory)
{
    if (directory->path != NULL) {
        close(directory->fd);
        free(directory->path);
    }
    *directory = (struct policy_directory){0};
}

bool policy_directory_open(const char *image_path, struct policy_directory *ret_directory, struct error *error)
{
    char path[PATH_MAX] = ".";
    const char *slash = strrchr(image_path, '/');
    if (slash != NULL) {
        size_t len = slash == image_path ? 1 : (size_t)(slash - image_path);
        if (len >= sizeof(path)) {
            return error_set(error, ERROR_IO, image_path, "cannot open its directory: %s", strerror(ENAMETOOLONG));
        }
        memcpy(path, image_path, len);
        path[len] = '\0';
    }
    if (!directory_take(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), ret_directory)) {
        return error_set(error, ERROR_IO, image_path, "cannot open its directory: %s", strerror(errno));
    }
    return true;
}

bool policy_allow(struct policy *policy, const char *path, struct error *error)
{
    if (policy->directory_count == POLICY_DIRECTORY_MAX) {
        return error_set(error, ERROR_USAGE, path, "more than %u directories for backing files", POLICY_DIRECTORY_MAX);
    }
    struct policy_directory *directory = &policy->directories[policy->directory_count];
    if (!directory_take(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), directory)) {
        return error_set(error, ERROR_USAGE, path, "cannot use as a directory for backing files: %s", strerror(errno));
    }
    policy->directory_count++;
    return true;
}

void policy_release(struct policy *policy)
{
    for (unsigned int i = 0; i < policy->directory_count; i++) {
        policy_directory_release(&policy->directories[i]);
    }
    *policy = (struct policy){0};
}

/* Bytes to a string of sane length. */
static bool name_check(struct span name, char copy[PATH_MAX], struct error *error)
{
    size_t kept = name.len < PATH_MAX ? name.len : PATH_MAX - 1;
    if (kept > 0) {
        memcpy(copy, name.data, kept);
    }
    copy[kept] = '\0';
    if (strlen(copy) < kept) {
        return refuse(copy, error, "the name contains a zero byte");
    }
    if (kept < name.len) {
        return refuse(copy, error, "the name is too long");
    }
    return true;
}

/*
 * QEMU takes what stands before a colon for a protocol, unless a slash comes first. Only files are files; a
 * protocol would have the host connect to something, or parse the rest.
 */
static bool protocol_check(const char **name, struct error *error)
{
    static const char file_protocol[] = "file:";
    if (strncmp(*name, file_protocol, sizeof(file_protocol) - 1) == 0) {
        *name += sizeof(file_protocol) - 1;
    } else if ((*name)[strcspn(*name, ":/")] == ':') {
        return refuse(*name, error, "names with a protocol are never followed");
    }
    if ((*name)[0] == '\0') {
        return refuse(*name, error, "the name is empty");
    }
    return true;
}

static bool request_init(struct request *request, struct span name, struct error *error)
{
    RETURN_IF_FAILED(name_check(name, request->name_buffer, error));
    request->name = request->name_buffer;
    if (request->policy->no_backing) {
        return refuse(request->name, error,
                      "no file that an image names is allowed (--no-backing, or 'allow = no' in the configuration)");
    }
    RETURN_IF_FAILED(protocol_check(&request->name, error));
    bool is_absolute = request->name[0] == '/';
    int len = snprintf(request->path, sizeof(request->path), "%s%s%s", is_absolute ? "" : request->from->path,
                       is_absolute ? "" : "/", request->name);
    return len < (int)sizeof(request->path) || refuse(request->name, error, "the name is too long");
}

/* A handle on what is at `path` beneath `directory`; -1 with errno set. */
static int handle_open(const struct policy_directory *directory, const char *path, uint64_t flags)
{
    /* The root holds everything: no link leads out of it, and those that start with a slash start there. */
    bool is_root = strcmp(directory->path, "/") == 0;
    struct open_how how = {
        .flags = O_PATH | O_CLOEXEC | flags,
        .resolve = RESOLVE_NO_MAGICLINKS | (is_root ? RESOLVE_IN_ROOT : RESOLVE_BENEATH),
    };
    int fd = -1;
    for (unsigned int attempt = 0; attempt < LOOK_UP_ATTEMPTS; attempt++) {
        fd = (int)syscall(SYS_openat2, directory->fd, path, &how, sizeof(how));
        if (fd >= 0 || errno != EAGAIN) {
            break;
        }
    }
    return fd;
}

/* From the handle to the open file: only a regular one. */
static bool handle_open_file(const struct request *request, int handle, enum policy_use use, int *ret_fd,
                             struct error *error)
{
    struct stat status;
    if (fstat(handle, &status) != 0 || !S_ISREG(status.st_mode)) {
        return refuse(request->name, error, "it is not a regular file");
    }
    char link[HANDLE_LINK_LEN];
    handle_link(link, handle);
    /* O_NONBLOCK: does not wait for somebody who holds a lease on the file. */
    int fd = open(link, (use == POLICY_CHANGE ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return error_set(error, ERROR_IO, request->path, "cannot open: %s", strerror(errno));
    }
    fcntl(fd, F_SETFL, 0); /* cannot fail; io_uring would not wait for the disk otherwise */
    *ret_fd = fd;
    return true;
}

/*
 * Opens the directory of the file that was found at `target`, and names the file by it. The two may differ when
 * somebody renames things just now; both are beneath the allowed directory then.
 */
static bool place_find(const struct request *request, const struct target *target, struct policy_file *file,
                       struct policy_directory *ret_directory, struct error *error)
{
    char parent[PATH_MAX] = ".";
    const char *slash = strrchr(target->beneath, '/');
    const char *file_name = slash != NULL ? slash + 1 : target->beneath;
    if (slash != NULL) {
        size_t len = (size_t)(slash - target->beneath);
        memcpy(parent, target->beneath, len);
        parent[len] = '\0';
    }
    if (!directory_take(handle_open(target->directory, parent, O_DIRECTORY), ret_directory)) {
        return error_set(error, ERROR_IO, request->path, "cannot open its directory: %s", strerror(errno));
    }
    bool is_root = strcmp(ret_directory->path, "/") == 0;
    int len = snprintf(file->path, sizeof(file->path), "%s/%s", is_root ? "" : ret_directory->path, file_name);
    if (len >= (int)sizeof(file->path)) {
        policy_directory_release(ret_directory);
        return error_set(error, ERROR_IO, request->path, "cannot open: %s", strerror(ENAMETOOLONG));
    }
    return true;
}

/* The path is in no allowed directory. */
static bool refuse_outside(const struct request *request, struct error *error)
{
    char parent[PATH_MAX];
    path_parent(request->path, parent);
    char reason[ERROR_DETAIL_LEN] = "it is outside of the image's directory; --backing-dir allows others";
    if (strlen(parent) <= ADVISED_LEN_MAX) {
        snprintf(reason, sizeof(reason), "it is outside of the image's directory; allow with --backing-dir %.*s",
                 ADVISED_LEN_MAX, parent);
    }
    return refuse(request->name, error, reason);
}

/* What the kernel said of the path in every directory that has it. */
static bool refuse_link(const struct request *request, int error_number, struct error *error)
{
    return refuse(request->name, error,
                  error_number == EXDEV ? "a link on the way is absolute, or leads out of the allowed directory"
                                        : "a link on the way goes in circles, or is a magic one of /proc");
}

/* The first directory that has it decides; one whose links lead out leaves it to the others. */
static bool request_find(const struct request *request, struct target *ret_target, int *ret_handle, struct error *error)
{
    int link_error = 0;
    for (unsigned int i = 0; i <= request->policy->directory_count; i++) {
        const struct policy_directory *directory = i == 0 ? request->from : &request->policy->directories[i - 1];
        const char *beneath = path_beneath(request->path, directory->path);
        if (beneath == NULL) {
            continue;
        }
        int handle = handle_open(directory, beneath, 0);
        if (handle >= 0) {
            *ret_target = (struct target){directory, beneath};
            *ret_handle = handle;
            return true;
        }
        if (errno != EXDEV && errno != ELOOP) {
            return error_set(error, ERROR_IO, request->path, "cannot open: %s", strerror(errno));
        }
        link_error = errno;
    }
    return link_error != 0 ? refuse_link(request, link_error, error) : refuse_outside(request, error);
}

bool policy_open_at(const struct policy *policy, const struct policy_directory *directory, struct span name,
                    enum policy_use use, struct policy_file *ret_file, struct policy_directory *ret_directory,
                    struct error *error)
{
    struct request request = {.policy = policy, .from = directory};
    struct target target;
    struct policy_directory place;
    int handle;
    RETURN_IF_FAILED(request_init(&request, name, error));
    RETURN_IF_FAILED(request_find(&request, &target, &handle, error));
    bool is_open = handle_open_file(&request, handle, use, &ret_file->fd, error);
    close(handle);
    RETURN_IF_FAILED(is_open);
    if (!place_find(&request, &target, ret_file, &place, error)) {
        close(ret_file->fd);
        return false;
    }
    if (ret_directory != NULL) {
        *ret_directory = place;
    } else {
        policy_directory_release(&place);
    }
    return true;
}

bool policy_open(const struct policy *policy, const char *image_path, struct span name, struct policy_file *ret_file,
                 struct error *error)
{
    struct policy_directory directory;
    RETURN_IF_FAILED(policy_directory_open(image_path, &directory, error));
    bool is_open = policy_open_at(policy, &directory, name, POLICY_READ, ret_file, NULL, error);
    policy_directory_release(&directory);
    return is_open;
}
