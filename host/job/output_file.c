/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/job/image_lock.h"
#include "host/job/output_place.h"

/* New names that are tried before giving up: with 32^6 of them, even one retry is rare. */
#define TEMPORARY_TRIES 16
#define TEMPORARY_RANDOM_LEN 6
/* What `.NAME.instar-XXXXXX` adds to NAME. */
#define TEMPORARY_EXTRA_LEN (sizeof("..instar-") - 1 + TEMPORARY_RANDOM_LEN)

static bool temporary_name_make(char ret_name[NAME_MAX + 1], const char *name)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
    char random[TEMPORARY_RANDOM_LEN];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(random); i++) {
        random[i] = digits[random[i] & 31];
    }
    snprintf(ret_name, NAME_MAX + 1, ".%.*s.instar-%.*s", (int)(NAME_MAX - TEMPORARY_EXTRA_LEN), name,
             (int)sizeof(random), random);
    return true;
}

/* Gives an unnamed file a name. Returns 0 or an errno. */
static int name_link(const struct output_file *output, const char *name)
{
    char self[64];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", output->fd);
    if (linkat(AT_FDCWD, self, output->directory_fd, name, AT_SYMLINK_FOLLOW) == 0) {
        return 0;
    }
    /* Without /proc: the direct way, which older kernels allow to privileged users only. */
    if (errno == ENOENT && linkat(output->fd, "", output->directory_fd, name, AT_EMPTY_PATH) == 0) {
        return 0;
    }
    return errno;
}

/* Until it has the permissions of the old file, nobody else reads what replaces it. */
static mode_t creation_mode(const struct output_file *output)
{
    return output->replaces ? 0600 : 0666;
}

/* Creates the file under a temporary name. Returns 0 or an errno. */
static int temporary_create(struct output_file *output)
{
    int result = EEXIST;
    for (int i = 0; i < TEMPORARY_TRIES && result == EEXIST; i++) {
        char name[NAME_MAX + 1];
        if (!temporary_name_make(name, output->name)) {
            return errno;
        }
        int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
        output->fd = openat(output->directory_fd, name, flags, creation_mode(output));
        result = output->fd >= 0 ? 0 : errno;
        if (result == 0) {
            memcpy(output->temporary_name, name, sizeof(name));
        }
    }
    return result;
}

/* Gives the unnamed file a temporary name. Returns 0 or an errno. */
static int temporary_link(struct output_file *output)
{
    int result = EEXIST;
    for (int i = 0; i < TEMPORARY_TRIES && result == EEXIST; i++) {
        char name[NAME_MAX + 1];
        if (!temporary_name_make(name, output->name)) {
            return errno;
        }
        result = name_link(output, name);
        if (result == 0) {
            memcpy(output->temporary_name, name, sizeof(name));
        }
    }
    return result;
}

/*
 * Puts the file with the temporary name under its own, over what stands there. Returns 0 or an errno.
 *
 * An exchange and not a rename, although both are atomic: ext4 and btrfs start writing the whole file back when
 * it is renamed over another one, which takes as long as the copy (0.4 s for 1 GiB). Being on the disk after a
 * power failure is the promise of `sync`, not of this step.
 */
static int name_replace(struct output_file *output)
{
    int directory = output->directory_fd;
    if (renameat2(directory, output->temporary_name, directory, output->name, RENAME_EXCHANGE) != 0) {
        /* Nothing stands there (any more), or the file system cannot exchange. */
        if (renameat(directory, output->temporary_name, directory, output->name) != 0) {
            return errno;
        }
        output->temporary_name[0] = '\0';
        return 0;
    }
    /* The temporary name is the old file's now. */
    if (unlinkat(directory, output->temporary_name, 0) != 0) {
        int result = errno;
        renameat2(directory, output->temporary_name, directory, output->name, RENAME_EXCHANGE);
        return result;
    }
    output->temporary_name[0] = '\0';
    return 0;
}

/* Returns 0 or an errno. */
static int publish(struct output_file *output)
{
    if (output->temporary_name[0] == '\0') {
        int result = output->replaces ? EEXIST : name_link(output, output->name);
        if (result != EEXIST) {
            return result;
        }
        result = temporary_link(output);
        if (result != 0) {
            return result;
        }
    }
    return name_replace(output);
}

/* The new file takes over the old one's permissions and, as far as this user may give it away, its owner. */
static int attributes_keep(const struct output_file *output)
{
    mode_t mode = output->old_mode & 0777;
    if (fchown(output->fd, output->old_owner, output->old_group) != 0 &&
        fchown(output->fd, (uid_t)-1, output->old_group) != 0) {
        /* What was allowed to a group is not allowed to another one. */
        mode &= ~(mode_t)S_IRWXG;
    }
    return fchmod(output->fd, mode) == 0 ? 0 : errno;
}

static int directory_sync(const struct output_file *output)
{
    int fd = openat(output->directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    int result = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return result;
}

/* Some network file systems report that the disk is full only when a file is closed: ask while it has no name. */
static int delayed_errors_fetch(const struct output_file *output)
{
    int copy = fcntl(output->fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) {
        return errno;
    }
    return close(copy) == 0 ? 0 : errno;
}

static bool check(int result, const char *path, const char *what, struct error *error)
{
    if (result == 0) {
        return true;
    }
    return error_set(error, file_error_kind(result), path, "%s: %s", what, strerror(result));
}

static bool regular_commit(struct output_file *output, const char *path, bool sync, struct error *error)
{
    RETURN_IF_FAILED(check(delayed_errors_fetch(output), path, "cannot write", error));
    if (output->replaces) {
        RETURN_IF_FAILED(check(attributes_keep(output), path, "cannot set the permissions", error));
    }
    if (sync) {
        /* First the contents: the name shall never stand for less. */
        RETURN_IF_FAILED(check(fsync(output->fd) == 0 ? 0 : errno, path, "cannot sync", error));
    }
    RETURN_IF_FAILED(check(publish(output), path, "cannot put the new file in its place", error));
    if (sync) {
        RETURN_IF_FAILED(check(fsync(output->fd) == 0 ? 0 : errno, path, "cannot sync", error));
        RETURN_IF_FAILED(check(directory_sync(output), path, "cannot sync the directory", error));
    }
    return true;
}

bool output_file_commit(struct output_file *output, const char *path, bool sync, struct error *error)
{
    bool success;
    if (output->is_new) {
        success = regular_commit(output, path, sync, error);
    } else {
        success = !sync || output->is_stream || check(fsync(output->fd) == 0 ? 0 : errno, path, "cannot sync", error);
    }
    output_file_discard(output);
    return success;
}

void output_file_discard(struct output_file *output)
{
    if (output->temporary_name[0] != '\0') {
        unlinkat(output->directory_fd, output->temporary_name, 0);
        output->temporary_name[0] = '\0';
    }
    if (output->fd >= 0) {
        close(output->fd);
        output->fd = -1;
    }
    if (output->directory_fd >= 0) {
        close(output->directory_fd);
        output->directory_fd = -1;
    }
}

/* What stands under the name may be replaced only by who may write it, and not while others use it. */
static bool old_file_check(const struct output_place *place, const struct output_request *request, struct error *error)
{
    const char *path = request->path;
    int fd = openat(place->directory_fd, place->name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return error_set(error, ERROR_IO, path, "cannot open for writing: %s", strerror(errno));
    }
    bool is_free = !request->lock || image_lock_test(fd, IMAGE_WRITE | IMAGE_RESIZE, IMAGE_RESIZE, path, error);
    close(fd);
    return is_free;
}

/* Hints for the file system. One that does not know them, as most don't, is no reason to fail. */
static void hints_set(int fd, const struct output_request *request)
{
    int flags;
    if (request->no_cow && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
        flags |= FS_NOCOW_FL;
        (void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
    struct fsxattr attributes;
    if (request->extent_hint > 0 && ioctl(fd, FS_IOC_FSGETXATTR, &attributes) == 0) {
        attributes.fsx_xflags |= FS_XFLAG_EXTSIZE;
        attributes.fsx_extsize = request->extent_hint;
        (void)ioctl(fd, FS_IOC_FSSETXATTR, &attributes);
    }
}

static bool regular_create(struct output_file *output, const struct output_request *request, struct error *error)
{
    int result = EOPNOTSUPP;
    if (!request->forbid_unnamed) {
        output->fd = openat(output->directory_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, creation_mode(output));
        result = output->fd >= 0 ? 0 : errno;
    }
    /* EISDIR and ENOENT: kernels and file systems that do not know O_TMPFILE. */
    if (result == EOPNOTSUPP || result == EISDIR || result == ENOENT || result == EINVAL) {
        result = temporary_create(output);
    }
    RETURN_IF_FAILED(check(result, request->path, "cannot create a file in this directory", error));
    hints_set(output->fd, request); /* while it is empty: later they are refused */
    /*
     * A new file is empty. To ext4, one that is made empty once more is one that is replaced in place: it writes all of
     * it back when the file is closed (auto_da_alloc), and whoever closes it waits.
     */
    if (request->len > 0 && ftruncate(output->fd, (off_t)request->len) != 0) {
        return error_set(error, file_error_kind(errno), request->path, "cannot make it %" PRIu64 " bytes long: %s",
                         request->len, strerror(errno));
    }
    return true;
}

static bool regular_open(struct output_file *ret_output, const struct output_request *request,
                         const struct output_place *place, struct error *error)
{
    struct output_file output = {
        .fd = -1,
        .len = request->len,
        .is_regular = true,
        .is_new = true,
        .zeroed = true,
        .directory_fd = place->directory_fd,
        .replaces = place->exists,
        .has_old = place->exists,
        .old_identity = file_identity(&place->status),
        .old_mode = place->status.st_mode,
        .old_owner = place->status.st_uid,
        .old_group = place->status.st_gid,
    };
    memcpy(output.name, place->name, sizeof(output.name));
    if ((place->exists && !old_file_check(place, request, error)) || !regular_create(&output, request, error)) {
        output_file_discard(&output);
        return false;
    }
    *ret_output = output;
    return true;
}

/* What is written in place: a regular file, or a device that is still the one that was looked at. */
static bool existing_check(int fd, const struct output_request *request, bool is_block, struct output_file *ret_output,
                           struct error *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || S_ISBLK(status.st_mode) != is_block || (!is_block && !S_ISREG(status.st_mode))) {
        return error_set(error, ERROR_IO, request->path, "is not what it was a moment ago");
    }
    /* The kernel opens it for writing all the same, and fails each write. */
    int is_read_only = 0;
    if (ioctl(fd, BLKROGET, &is_read_only) == 0 && is_read_only != 0) {
        return error_set(error, ERROR_IO, request->path, "cannot open for writing: the device is read-only");
    }
    uint64_t len;
    RETURN_IF_FAILED(file_len(fd, &status, request->path, &len, error));
    if (len < request->len) {
        return error_set(error, ERROR_NO_SPACE, request->path,
                         "the %s has %" PRIu64 " bytes, the output needs %" PRIu64, is_block ? "device" : "file", len,
                         request->len);
    }
    unsigned int locks = IMAGE_READ | IMAGE_WRITE | (request->resizes ? IMAGE_RESIZE : 0);
    RETURN_IF_FAILED(!request->lock ||
                     image_lock_take(fd, locks, request->keeps_len ? IMAGE_RESIZE : 0, request->path, error));
    *ret_output = (struct output_file){
        .fd = fd,
        .len = request->has_own_len ? len : request->len,
        .allocated_len = file_allocated_len(&status),
        .is_regular = !is_block,
        .has_old = true,
        .old_identity = file_identity(&status),
        .old_owner = status.st_uid,
        .directory_fd = -1,
    };
    return true;
}

static bool existing_open(struct output_file *ret_output, const struct output_request *request,
                          const struct output_place *place, struct error *error)
{
    bool is_block = S_ISBLK(place->status.st_mode);
    /* O_EXCL on a device: not while it is mounted or part of something else. O_RDWR: it may be mapped. */
    int fd = openat(place->directory_fd, place->name, O_RDWR | (is_block ? O_EXCL : 0) | O_NOFOLLOW | O_CLOEXEC);
    int open_error = errno;
    close(place->directory_fd);
    if (fd < 0) {
        return error_set(error, ERROR_IO, request->path, "cannot open for writing: %s",
                         open_error == EBUSY ? "the device is in use" : strerror(open_error));
    }
    if (!existing_check(fd, request, is_block, ret_output, error)) {
        close(fd);
        return false;
    }
    return true;
}

/* Whether the job may write to what stands at the place. */
static bool old_identity_check(const struct output_place *place, const struct output_request *request,
                               struct error *error)
{
    if (!place->exists) {
        return true;
    }
    struct file_identity identity = file_identity(&place->status);
    for (unsigned int i = 0; i < request->input_count; i++) {
        if (file_identity_equal(&identity, &request->inputs[i].identity)) {
            return error_set(error, ERROR_USAGE, request->path, "the output is the input");
        }
    }
    return file_type_check(&place->status, request->path, error);
}

/*
 * What a descriptor of the caller's leads to (/dev/stdout, /dev/fd/9): whoever holds it sees what is written there, and
 * nothing else that had the file's name.
 */
static bool descriptor_open(struct output_file *ret_output, const struct output_request *request, struct error *error)
{
    struct stat status;
    bool is_new = request->kind == JOB_OUTPUT_NEW;
    int fd = open(request->path, O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd >= 0 && !is_new) {
        bool is_sound = existing_check(fd, request, false, ret_output, error);
        if (!is_sound) {
            close(fd);
        }
        return is_sound;
    }
    if (fd < 0 || fstat(fd, &status) != 0) {
        error_fill(error, ERROR_IO, request->path, "cannot open for writing: %s", strerror(errno));
    } else if (!S_ISREG(status.st_mode)) {
        error_fill(error, ERROR_IO, request->path, "is not what it was a moment ago");
    } else if (!request->lock ||
               image_lock_take(fd, IMAGE_READ | IMAGE_WRITE | IMAGE_RESIZE, 0, request->path, error)) {
        *ret_output = (struct output_file){
            .fd = fd,
            .is_regular = true,
            .has_own_place = true,
            .zeroed = true,
            .has_old = true,
            .old_identity = file_identity(&status),
            .directory_fd = -1,
        };
        bool is_emptied = ftruncate(fd, 0) == 0 && ftruncate(fd, (off_t)request->len) == 0;
        return is_emptied ||
               error_set(error, file_error_kind(errno), request->path, "cannot set the length: %s", strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    return false;
}

static bool stream_open(struct output_file *ret_output, const struct output_request *request, struct error *error)
{
    struct stat status;
    int fd = open(request->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return error_set(error, ERROR_IO, request->path, "cannot open for writing: %s", strerror(errno));
    }
    if (fstat(fd, &status) != 0 || !S_ISFIFO(status.st_mode)) {
        close(fd);
        return error_set(error, ERROR_IO, request->path, "is not what it was a moment ago");
    }
    *ret_output = (struct output_file){
        .fd = fd,
        .is_stream = true,
        .zeroed = true,
        .directory_fd = -1,
    };
    return true;
}

bool output_file_open(struct output_file *ret_output, const struct output_request *request, struct error *error)
{
    struct output_place place;
    struct stat status;
    bool exists = request->path[0] != '\0' && stat(request->path, &status) == 0;
    if (exists && S_ISFIFO(status.st_mode) && request->may_stream) {
        return stream_open(ret_output, request, error);
    }
    if (exists && S_ISREG(status.st_mode) && output_place_is_descriptor(request->path)) {
        struct output_place seen = {.exists = true, .status = status};
        return old_identity_check(&seen, request, error) && descriptor_open(ret_output, request, error);
    }
    RETURN_IF_FAILED(output_place_open(&place, request->path, error));
    if (!old_identity_check(&place, request, error)) {
        close(place.directory_fd);
        return false;
    }
    if (place.exists && (S_ISBLK(place.status.st_mode) || request->kind == JOB_OUTPUT_IN_PLACE)) {
        return existing_open(ret_output, request, &place, error);
    }
    if (request->kind == JOB_OUTPUT_IN_PLACE) {
        close(place.directory_fd);
        return error_set(error, ERROR_IO, request->path, "cannot open: %s", strerror(ENOENT));
    }
    return regular_open(ret_output, request, &place, error);
}
