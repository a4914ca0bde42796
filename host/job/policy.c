/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A name is joined to its image's directory and cleaned of "." and ".." as text. That only finds which allowed
 * directory to try: what counts is the kernel, which resolves the rest beneath that directory (openat2(2),
 * RESOLVE_BENEATH) and follows no link out of it, nor any magic link of /proc.
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

/* A name in an error message is cut to this. */
#define SHOWN_NAME_LEN 80

struct request {
    const struct policy *policy;
    const char *name;         /* without "file:" */
    char directory[PATH_MAX]; /* the image's, canonical */
    char path[PATH_MAX];      /* of the file, absolute and clean */
};

void policy_release(struct policy *policy)
{
    for (unsigned int i = 0; i < policy->directory_count; i++) {
        free(policy->directories[i]);
    }
    *policy = (struct policy){0};
}

bool policy_allow(struct policy *policy, const char *directory, struct error *error)
{
    if (policy->directory_count == POLICY_DIRECTORY_MAX) {
        return error_set(error, ERROR_USAGE, directory, "more than %u directories for backing files",
                         POLICY_DIRECTORY_MAX);
    }
    struct stat status;
    char *canonical = realpath(directory, NULL);
    if (canonical == NULL || stat(canonical, &status) != 0) {
        int saved_errno = errno;
        free(canonical);
        return error_set(error, ERROR_USAGE, directory, "cannot use as a directory for backing files: %s",
                         strerror(saved_errno));
    }
    if (!S_ISDIR(status.st_mode)) {
        free(canonical);
        return error_set(error, ERROR_USAGE, directory, "is not a directory");
    }
    policy->directories[policy->directory_count++] = canonical;
    return true;
}

static bool refuse(const char *name, struct error *error, const char *reason)
{
    return error_set(error, ERROR_REFUSED, NULL, "refused to open '%.*s'%s: %s", SHOWN_NAME_LEN, name,
                     strlen(name) > SHOWN_NAME_LEN ? " (cut)" : "", reason);
}

/* Bytes to a string of sane length. */
static bool name_check(struct span name, char copy[PATH_MAX], struct error *error)
{
    if (name.len == 0) {
        return refuse("", error, "the name is empty");
    }
    size_t kept = name.len < PATH_MAX ? name.len : PATH_MAX - 1;
    memcpy(copy, name.data, kept);
    copy[kept] = '\0';
    if (memchr(name.data, '\0', name.len) != NULL) {
        return refuse(copy, error, "the name contains a zero byte");
    }
    if (name.len >= PATH_MAX) {
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
        return true;
    }
    size_t prefix_len = strcspn(*name, ":/");
    if ((*name)[prefix_len] == ':') {
        return refuse(*name, error, "names with a protocol are never followed");
    }
    return true;
}

static bool directory_find(const char *image_path, char directory[PATH_MAX], struct error *error)
{
    if (realpath(image_path, directory) == NULL) {
        return error_set(error, ERROR_IO, image_path, "cannot find its directory: %s", strerror(errno));
    }
    char *slash = strrchr(directory, '/');
    slash[slash == directory ? 1 : 0] = '\0';
    return true;
}

/* Appends the components of `path` to `clean`, which is absolute and clean and stays so. */
static bool components_append(char clean[PATH_MAX], const char *path)
{
    size_t clean_len = strcmp(clean, "/") == 0 ? 0 : strlen(clean);
    /* Ends: every round passes a component of `path`, or the slashes before its end. */
    while (*path != '\0') {
        path += strspn(path, "/");
        size_t len = strcspn(path, "/");
        if (len == 2 && memcmp(path, "..", 2) == 0) {
            while (clean_len > 0 && clean[--clean_len] != '/') {
            }
        } else if (len > 0 && !(len == 1 && path[0] == '.')) {
            if (clean_len + 1 + len >= PATH_MAX) {
                return false;
            }
            clean[clean_len] = '/';
            memcpy(clean + clean_len + 1, path, len);
            clean_len += 1 + len;
        }
        path += len;
    }
    memcpy(clean + clean_len, clean_len == 0 ? "/" : "", clean_len == 0 ? 2 : 1);
    return true;
}

/* What follows `directory` in `path`, both clean; NULL when the path does not lie beneath it. */
static const char *path_beneath(const char *path, const char *directory)
{
    size_t len = strcmp(directory, "/") == 0 ? 0 : strlen(directory);
    return strncmp(path, directory, len) == 0 && path[len] == '/' && path[len + 1] != '\0' ? path + len + 1 : NULL;
}

/*
 * A handle on the file beneath `directory`, or a negative errno. O_PATH: a device or a FIFO is not disturbed, a file
 * is not read.
 */
static int handle_open(const char *directory, const char *beneath)
{
    int directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory_fd < 0) {
        return -errno;
    }
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd;
    do {
        fd = syscall(SYS_openat2, directory_fd, beneath, &how, sizeof(how));
    } while (fd < 0 && errno == EAGAIN); /* ends: only while somebody renames directories under us */
    int result = fd >= 0 ? (int)fd : -errno;
    close(directory_fd);
    return result;
}

/* From the handle to the open file: only a regular one, and the very one that was looked at. */
static bool handle_read(const struct request *request, int handle, int *ret_fd, struct error *error)
{
    struct stat status;
    if (fstat(handle, &status) != 0 || !S_ISREG(status.st_mode)) {
        return refuse(request->name, error, "it is not a regular file");
    }
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", handle);
    int fd = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return error_set(error, ERROR_IO, request->path, "cannot open: %s", strerror(errno));
    }
    *ret_fd = fd;
    return true;
}

/* The path is in no allowed directory, or leads out of the one that it is in. */
static bool refuse_outside(const struct request *request, bool leads_out, struct error *error)
{
    char parent[PATH_MAX];
    memcpy(parent, request->path, sizeof(parent));
    *strrchr(parent, '/') = '\0';
    char reason[ERROR_DETAIL_LEN];
    snprintf(reason, sizeof(reason),
             leads_out ? "a link leads out of %.60s" : "it is outside of %.60s; allow with --backing-dir %.60s",
             request->directory, parent[0] != '\0' ? parent : "/");
    return refuse(request->name, error, reason);
}

/* Sets *ret_result to a handle or a negative errno; false when `directory` is not the place. */
static bool directory_try(const struct request *request, const char *directory, int *ret_result)
{
    const char *beneath = path_beneath(request->path, directory);
    if (beneath == NULL) {
        return false;
    }
    *ret_result = handle_open(directory, beneath);
    return true;
}

/* The first directory that has it decides; one whose links lead out leaves it to the others. */
static bool request_open(const struct request *request, int *ret_handle, struct error *error)
{
    int result = 0;
    bool leads_out = false;
    for (unsigned int i = 0; i <= request->policy->directory_count; i++) {
        const char *directory = i == 0 ? request->directory : request->policy->directories[i - 1];
        if (!directory_try(request, directory, &result)) {
            continue;
        }
        if (result >= 0) {
            *ret_handle = result;
            return true;
        }
        if (result != -EXDEV && result != -ELOOP) {
            return error_set(error, ERROR_IO, request->path, "cannot open: %s", strerror(-result));
        }
        leads_out = true;
    }
    return refuse_outside(request, leads_out, error);
}

bool policy_open(const struct policy *policy, const char *image_path, struct span name, struct policy_file *ret_file,
                 struct error *error)
{
    char copy[PATH_MAX];
    struct request request = {.policy = policy, .name = copy};
    RETURN_IF_FAILED(name_check(name, copy, error));
    if (policy->no_backing) {
        return refuse(copy, error, "--no-backing forbids all files that images name");
    }
    RETURN_IF_FAILED(protocol_check(&request.name, error));
    RETURN_IF_FAILED(directory_find(image_path, request.directory, error));
    memcpy(request.path, request.name[0] == '/' ? "/" : request.directory,
           request.name[0] == '/' ? sizeof("/") : sizeof(request.path));
    if (!components_append(request.path, request.name)) {
        return refuse(request.name, error, "the name is too long");
    }
    int handle;
    RETURN_IF_FAILED(request_open(&request, &handle, error));
    bool is_open = handle_read(&request, handle, &ret_file->fd, error);
    close(handle);
    if (is_open) {
        memcpy(ret_file->path, request.path, sizeof(ret_file->path));
    }
    return is_open;
}
