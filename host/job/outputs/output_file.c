/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/outputs/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/job/files/file_handle.h"
#include "host/job/files/file_owner.h"
#include "host/job/files/file_place.h"
#include "host/job/files/image_lock.h"
#include "host/job/outputs/output_attributes.h"
#include "host/job/outputs/output_in_place.h"
#include "host/job/outputs/output_publish.h"

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
    if (sync) {
        /* First the contents: the name shall never stand for less. */
        RETURN_IF_FAILED(check(fsync(output->fd) == 0 ? 0 : errno, path, "cannot sync", error));
    }
    RETURN_IF_FAILED(check(output_publish(output), path, "cannot put the new file in its place", error));
    if (sync) {
        RETURN_IF_FAILED(check(fsync(output->fd) == 0 ? 0 : errno, path, "cannot sync", error));
        RETURN_IF_FAILED(check(output_directory_sync(output), path, "cannot sync the directory", error));
    }
    return true;
}

static void output_file_close(struct output_file *output)
{
    output_unseen_drop(output);
    if (output->directory_fd >= 0) {
        close(output->directory_fd);
        output->directory_fd = -1;
    }
    if (output->named_fd >= 0) {
        close(output->named_fd);
        output->named_fd = -1;
    }
}

/* What was written in place, or to a pipe. */
static bool written_commit(struct output_file *output, const char *path, bool sync, struct error *error)
{
    if (output->in_place_reason != NULL) {
        RETURN_IF_FAILED(check(delayed_errors_fetch(output), path, "cannot write", error));
    }
    return !sync || output->is_stream || check(fsync(output->fd) == 0 ? 0 : errno, path, "cannot sync", error);
}

/* Whether a file in place still has what it had: nobody has written to it. */
static bool is_untouched(const struct output_file *output)
{
    struct stat status;
    return fstat(output->fd, &status) != 0 ||
           ((uint64_t)status.st_size == output->old_len && status.st_mtim.tv_sec == output->old_time.tv_sec &&
            status.st_mtim.tv_nsec == output->old_time.tv_nsec);
}

void output_file_discard(struct output_file *output)
{
    /* Half an output in place of the old content shall not look like a whole one. */
    if (output->fd >= 0 && output->in_place_reason != NULL && !is_untouched(output) && ftruncate(output->fd, 0) != 0) {
        output->in_place_reason = NULL; /* nothing else can be done about it */
    }
    output_file_close(output);
}

bool output_file_name(struct output_file *output, const char *path, struct error *error)
{
    RETURN_IF_FAILED(check(delayed_errors_fetch(output), path, "cannot write", error) &&
                     check(output_publish_new(output), path, "cannot put the new file in its place", error));
    output->waits_for_name = output->is_new = false;
    return true;
}

bool output_file_sync_name(const struct output_file *output, const char *path, struct error *error)
{
    return check(output_directory_sync(output), path, "cannot sync the directory", error);
}

void output_file_unname(struct output_file *output)
{
    (void)output_withdraw(output); /* nothing else can be done about it */
}

bool output_file_commit(struct output_file *output, const char *path, bool sync, struct error *error)
{
    bool success;
    if (output->waits_for_name) { /* and nobody has asked for it */
        output_file_discard(output);
        return true;
    }
    if (output->is_new) {
        success = regular_commit(output, path, sync, error);
    } else {
        success = written_commit(output, path, sync, error);
    }
    if (success) {
        output_file_close(output);
    } else {
        output_file_discard(output);
    }
    return success;
}

bool output_file_withdraw(const struct output_file *output, const char *path, bool sync, struct error *error)
{
    if (!output->is_new || !output->replaces) {
        return true;
    }
    RETURN_IF_FAILED(check(output_withdraw(output), path, "cannot remove what it replaces", error));
    return !sync || check(output_directory_sync(output), path, "cannot sync the directory", error);
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

static bool regular_prepare(struct output_file *output, const struct output_request *request, struct error *error)
{
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

/* What is a part of an image is for the same users as another one. */
static bool make_like(struct output_file *output, const struct output_request *request, struct error *error)
{
    struct stat status;
    int result = fstat(request->like->fd, &status) == 0 ? 0 : errno;
    return check(result == 0 ? output_attributes_copy(request->like->fd, &status, output->fd) : result, request->path,
                 "cannot get the owner and attributes that the image's files have", error);
}

/* A file that nothing stands in the way of. */
static bool new_open(struct output_file *output, const struct output_request *request, struct error *error)
{
    if (check(output_unseen_create(output, request->forbid_unnamed), request->path,
              "cannot create a file in this directory", error) &&
        (request->like == NULL || make_like(output, request, error)) && regular_prepare(output, request, error)) {
        return true;
    }
    output_file_discard(output);
    return false;
}

static bool trap_check(const struct file_place *place, const struct output_request *request, struct error *error)
{
    bool is_replaced = S_ISREG(place->status.st_mode) && request->kind == JOB_OUTPUT_NEW;
    return !file_place_is_trap(place) || error_set(error, ERROR_IO, request->path, "refused to %s it: " FILE_PLACE_TRAP,
                                                   is_replaced ? "replace" : "write to");
}

static bool name_check(const struct file_place *place, const struct output_request *request, struct error *error)
{
    return !file_place_name_is_trap(place) ||
           error_set(error, ERROR_IO, request->path, "refused to write to it: " FILE_PLACE_NAME_TRAP);
}

/* What others must not do with the file that a new image replaces, or is written to. */
static unsigned int new_unshared(const struct output_request *request)
{
    return IMAGE_RESIZE | (request->is_alone ? IMAGE_WRITE : 0);
}

/* The output is the old file, whose `fd` is taken over. */
static bool rewrite_open(struct output_file *output, const struct output_request *request, int fd, const char *reason,
                         struct error *error)
{
    struct stat status;
    output->fd = fd;
    output->is_new = false;
    if (output->directory_fd >= 0) {
        close(output->directory_fd);
        output->directory_fd = -1;
    }
    if (fstat(fd, &status) != 0) {
        return error_set(error, ERROR_IO, request->path, "cannot examine: %s", strerror(errno));
    }
    RETURN_IF_FAILED(!request->lock || image_lock_take(fd, IMAGE_READ | IMAGE_WRITE | IMAGE_RESIZE,
                                                       new_unshared(request), request->path, error));
    output->in_place_reason = reason;
    output->old_len = (uint64_t)status.st_size;
    output->old_time = status.st_mtim;
    if (request->truncates) {
        output->old_time.tv_nsec = -1; /* no file's: it is touched */
    }
    if (request->truncates && (ftruncate(fd, 0) != 0 || ftruncate(fd, (off_t)request->len) != 0)) {
        return error_set(error, file_error_kind(errno), request->path, "cannot make it %" PRIu64 " bytes long: %s",
                         request->len, strerror(errno));
    }
    return true;
}

/* Whether an errno of the making of a file says that none can be made there, and not that there is no room for it. */
static bool is_without_new_files(int result)
{
    return result == EACCES || result == EPERM || result == EROFS || result == EOPNOTSUPP || result == ENOSYS ||
           result == EINVAL;
}

/* The old file's place is taken by a new one with all of its attributes; where that cannot be, it is written itself. */
static bool old_replace(struct output_file *output, const struct output_request *request,
                        const struct file_place *place, int old_fd, bool *ret_keeps_fd, struct error *error)
{
    const char *reason = output_in_place_reason(place, old_fd);
    int result = reason == NULL ? output_unseen_create(output, request->forbid_unnamed) : 0;
    if (is_without_new_files(result)) {
        reason = "no file can be made in its directory";
    } else if (result != 0) {
        return check(result, request->path, "cannot create a file in this directory", error);
    } else if (reason == NULL && output_attributes_copy(old_fd, &place->status, output->fd) != 0) {
        reason = "its owner or attributes cannot be kept";
        output_unseen_drop(output);
    }
    if (reason == NULL) {
        return regular_prepare(output, request, error);
    }
    *ret_keeps_fd = true;
    return rewrite_open(output, request, old_fd, reason, error);
}

static bool old_open(struct output_file *output, const struct output_request *request, const struct file_place *place,
                     struct error *error)
{
    int fd = file_place_open(place, O_RDWR);
    if (fd < 0) {
        error_fill(error, ERROR_IO, request->path, "cannot open for writing: %s", strerror(errno));
    }
    bool keeps_fd = false;
    /* What stands there may be replaced only by who may write it, and not while others use it. */
    bool success = fd >= 0 && trap_check(place, request, error) &&
                   (!request->lock ||
                    image_lock_test(fd, IMAGE_WRITE | IMAGE_RESIZE, new_unshared(request), request->path, error)) &&
                   old_replace(output, request, place, fd, &keeps_fd, error);
    if (fd >= 0 && !keeps_fd) {
        close(fd);
    }
    if (!success) {
        output_file_discard(output);
    }
    return success;
}

/* Takes the place's directory over. */
static bool regular_open(struct output_file *ret_output, const struct output_request *request, struct file_place *place,
                         struct error *error)
{
    bool exists = place->handle >= 0;
    struct output_file output = {
        .fd = -1,
        .len = request->len,
        .is_regular = true,
        .is_new = true,
        .zeroed = true,
        .directory_fd = place->directory_fd,
        .named_fd = -1,
        .waits_for_name = request->like != NULL,
        .replaces = exists,
        .has_old = exists,
        .old_identity = file_identity(&place->status),
        .old_owner = place->status.st_uid,
    };
    memcpy(output.name, place->name, sizeof(output.name));
    (void)file_owner_is_one(0); /* for output_publish, when files that tell cannot be read any more */
    bool success = exists ? old_open(&output, request, place, error) : new_open(&output, request, error);
    place->directory_fd = -1;
    if (success) {
        *ret_output = output;
    }
    return success;
}

/* It is none of the inputs, and not what a loop device among them shows. */
static bool inputs_check(const struct file_identity *identity, const struct output_request *request,
                         struct error *error)
{
    for (unsigned int i = 0; i < request->input_count; i++) {
        struct file_identity behind;
        if (file_identity_equal(identity, &request->inputs[i].identity) ||
            (file_identity_of_loop(request->inputs[i].fd, &behind) && file_identity_equal(identity, &behind))) {
            return error_set_reason(error, ERROR_REASON_OUTPUT_IS_INPUT, ERROR_USAGE, request->path,
                                    "the output is the input");
        }
    }
    return true;
}

/* What is written in place: a regular file, or a device. */
static bool existing_check(int fd, const struct output_request *request, bool is_block, struct output_file *ret_output,
                           struct error *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return error_set(error, ERROR_IO, request->path, "cannot examine: %s", strerror(errno));
    }
    /* The kernel opens it for writing all the same, and fails each write. */
    int is_read_only = 0;
    if (ioctl(fd, BLKROGET, &is_read_only) == 0 && is_read_only != 0) {
        return error_set(error, ERROR_IO, request->path, "cannot open for writing: the device is read-only");
    }
    struct file_identity behind;
    RETURN_IF_FAILED(!file_identity_of_loop(fd, &behind) || inputs_check(&behind, request, error));
    uint64_t len;
    RETURN_IF_FAILED(file_len(fd, &status, request->path, &len, error));
    if (len < request->len) {
        return error_set(error, ERROR_NO_SPACE, request->path,
                         "the %s has %" PRIu64 " bytes, the output needs %" PRIu64, is_block ? "device" : "file", len,
                         request->len);
    }
    unsigned int locks = IMAGE_READ | IMAGE_WRITE | (request->resizes ? IMAGE_RESIZE : 0);
    unsigned int unshared = (request->keeps_len ? IMAGE_RESIZE : 0) | (request->is_alone ? new_unshared(request) : 0);
    RETURN_IF_FAILED(!request->lock || image_lock_take(fd, locks, unshared, request->path, error));
    *ret_output = (struct output_file){
        .fd = fd,
        .len = request->has_own_len ? len : request->len,
        .allocated_len = file_allocated_len(&status),
        .is_regular = !is_block,
        .has_old = true,
        .old_identity = file_identity(&status),
        .old_owner = status.st_uid,
        .directory_fd = -1,
        .named_fd = -1,
    };
    return true;
}

static bool existing_open(struct output_file *ret_output, const struct output_request *request,
                          const struct file_place *place, struct error *error)
{
    bool is_block = S_ISBLK(place->status.st_mode);
    RETURN_IF_FAILED(is_block || !request->is_filled || trap_check(place, request, error));
    /* O_EXCL on a device: not while it is mounted or part of something else. O_RDWR: it may be mapped. */
    int fd = file_place_open(place, O_RDWR | (is_block ? O_EXCL : 0));
    if (fd < 0) {
        return error_set(error, ERROR_IO, request->path, "cannot open for writing: %s",
                         errno == EBUSY ? "the device is in use" : strerror(errno));
    }
    if (!existing_check(fd, request, is_block, ret_output, error)) {
        close(fd);
        return false;
    }
    return true;
}

/* Whether the job may write to what stands at the place. */
static bool old_identity_check(const struct file_place *place, const struct output_request *request,
                               struct error *error)
{
    struct file_identity identity = file_identity(&place->status);
    RETURN_IF_FAILED(inputs_check(&identity, request, error));
    if (request->image != NULL && request->image->has_old &&
        file_identity_equal(&identity, &request->image->old_identity)) {
        return error_set_reason(error, ERROR_REASON_DATA_IS_IMAGE, ERROR_USAGE, request->path,
                                "the data file is the image");
    }
    for (unsigned int i = 0; i < request->other_count; i++) {
        const struct output_file *other = &request->others[i];
        if (other->has_old && file_identity_equal(&identity, &other->old_identity)) {
            return error_set(error, ERROR_USAGE, request->path, "the job writes to it twice");
        }
    }
    return true;
}

/* A pipe, by its name or by a descriptor: whoever names it knows that it waits for a reader. */
static bool stream_open(struct output_file *ret_output, const struct output_request *request,
                        const struct file_place *place, struct error *error)
{
    RETURN_IF_FAILED(trap_check(place, request, error));
    int fd = file_handle_open_waiting(place->handle, O_WRONLY);
    if (fd < 0) {
        return error_set(error, ERROR_IO, request->path, "cannot open for writing: %s", strerror(errno));
    }
    *ret_output = (struct output_file){
        .fd = fd,
        .is_stream = true,
        .zeroed = true,
        .directory_fd = -1,
        .named_fd = -1,
    };
    return true;
}

static bool place_open(struct output_file *ret_output, const struct output_request *request, struct file_place *place,
                       struct error *error)
{
    bool exists = place->handle >= 0;
    if (exists && request->like != NULL) {
        return error_set(error, ERROR_USAGE, request->path, "is already there, and is no part of the image");
    }
    RETURN_IF_FAILED(!exists || old_identity_check(place, request, error));
    if (exists && S_ISFIFO(place->status.st_mode) && request->may_stream) {
        return stream_open(ret_output, request, place, error);
    }
    RETURN_IF_FAILED(!exists || file_type_check(&place->status, request->path, error));
    RETURN_IF_FAILED(!exists || name_check(place, request, error));
    if (exists && (S_ISBLK(place->status.st_mode) || request->kind == JOB_OUTPUT_IN_PLACE)) {
        return existing_open(ret_output, request, place, error);
    }
    if (request->kind == JOB_OUTPUT_IN_PLACE) {
        return error_set_cause(error, ERROR_REASON_OPEN, ERROR_IO, request->path, strerror(ENOENT));
    }
    return regular_open(ret_output, request, place, error);
}

/* A slash at the end is a directory's, also where there is none, but could be: as open(2) has it of new files. */
static bool is_missing_directory(const char *path)
{
    char name[PATH_MAX];
    struct file_place place;
    size_t len = strlen(path);
    if (len >= sizeof(name) || path[len - 1] != '/') {
        return false;
    }
    while (len > 0 && path[len - 1] == '/') {
        len--;
    }
    memcpy(name, path, len);
    name[len] = '\0';
    if (file_place_look(&place, name) != 0) {
        return false; /* nor could it be */
    }
    bool is_directory = place.handle >= 0 && S_ISDIR(place.status.st_mode);
    file_place_release(&place);
    return !is_directory;
}

bool output_file_open(struct output_file *ret_output, const struct output_request *request, struct error *error)
{
    struct file_place place;
    if (request->path[0] == '\0') {
        return error_set(error, ERROR_USAGE, NULL, "the name of the output is empty");
    }
    enum error_reason reason = request->kind == JOB_OUTPUT_IN_PLACE ? ERROR_REASON_OPEN : ERROR_REASON_CREATE;
    if (request->kind != JOB_OUTPUT_IN_PLACE && is_missing_directory(request->path)) {
        return error_set_reason(error, ERROR_REASON_DIRECTORY, ERROR_USAGE, request->path, "is a directory");
    }
    RETURN_IF_FAILED(file_place_find(&place, request->path, reason, error));
    bool success = place_open(ret_output, request, &place, error);
    if (success && request->kind == JOB_OUTPUT_IN_PLACE) {
        ret_output->named_fd = place.named_fd;
        place.named_fd = -1;
    }
    file_place_release(&place);
    return success;
}
