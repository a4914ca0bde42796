/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "host/job/files/file_place.h"
#include "host/job/files/spool.h"

enum error_kind file_error_kind(int error_number)
{
    switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERROR_NO_SPACE;
    default:
        return ERROR_IO;
    }
}

bool file_type_check(const struct stat *status, const char *path, struct error *error)
{
    switch (status->st_mode & S_IFMT) {
    case S_IFREG:
    case S_IFBLK:
        return true;
    case S_IFDIR:
        return error_set_reason(error, ERROR_REASON_DIRECTORY, ERROR_USAGE, path, "is a directory");
    case S_IFIFO:
        return error_set(error, ERROR_USAGE, path, "is a FIFO, not a regular file or block device");
    case S_IFSOCK:
        return error_set(error, ERROR_USAGE, path, "is a socket, not a regular file or block device");
    case S_IFCHR:
        return error_set(error, ERROR_USAGE, path, "is a character device, not a regular file or block device");
    default:
        return error_set(error, ERROR_USAGE, path, "is not a regular file or block device");
    }
}

bool file_len(int fd, const struct stat *status, const char *path, uint64_t *ret_len, struct error *error)
{
    if (S_ISBLK(status->st_mode)) {
        uint64_t len;
        if (ioctl(fd, BLKGETSIZE64, &len) != 0) {
            return error_set(error, ERROR_IO, path, "cannot read the length of the device: %s", strerror(errno));
        }
        *ret_len = len;
        return true;
    }
    *ret_len = (uint64_t)status->st_size; /* never negative for a regular file */
    return true;
}

uint64_t file_allocated_len(const struct stat *status)
{
    return (uint64_t)status->st_blocks * 512; /* st_blocks counts in 512 bytes (stat(2)) */
}

struct file_identity file_identity(const struct stat *status)
{
    if (S_ISBLK(status->st_mode)) {
        return (struct file_identity){.is_block = true, .device = status->st_rdev};
    }
    return (struct file_identity){.device = status->st_dev, .inode = status->st_ino};
}

bool file_identity_equal(const struct file_identity *a, const struct file_identity *b)
{
    return a->is_block == b->is_block && a->device == b->device && a->inode == b->inode;
}

bool file_identity_of_loop(int fd, struct file_identity *ret_identity)
{
    struct stat status;
    struct loop_info64 loop;
    if (fstat(fd, &status) != 0 || !S_ISBLK(status.st_mode) || ioctl(fd, LOOP_GET_STATUS64, &loop) != 0) {
        return false;
    }
    *ret_identity = loop.lo_rdevice != 0 ? (struct file_identity){.is_block = true, .device = loop.lo_rdevice}
                                         : (struct file_identity){.device = loop.lo_device, .inode = loop.lo_inode};
    return true;
}

/* `fd` stays the caller's when this fails. */
static bool input_examine(int fd, const char *path, struct input_file *ret_input, struct error *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return error_set(error, ERROR_IO, path, "cannot examine: %s", strerror(errno));
    }
    uint64_t len;
    RETURN_IF_FAILED(file_len(fd, &status, path, &len, error));
    *ret_input = (struct input_file){
        .fd = fd,
        .len = len,
        .allocated_len = file_allocated_len(&status),
        .is_regular = S_ISREG(status.st_mode),
        .identity = file_identity(&status),
        .owner = status.st_uid,
    };
    return true;
}

static bool place_open(struct input_file *ret_input, const struct file_place *place, const char *path,
                       uint64_t min_free_len, struct error *error)
{
    if (place->handle < 0) {
        return error_set_cause(error, ERROR_REASON_OPEN, ERROR_IO, path, strerror(ENOENT));
    }
    /* Looked at first: opening some devices has effects. A pipe is one that somebody gave us: a name may have no
     * writer. */
    bool is_pipe = S_ISFIFO(place->status.st_mode) && file_place_is_descriptor(place);
    RETURN_IF_FAILED(is_pipe || file_type_check(&place->status, path, error));
    int fd = file_place_open(place, O_RDONLY);
    if (fd < 0) {
        return error_set_cause(error, ERROR_REASON_OPEN, ERROR_IO, path, strerror(errno));
    }
    if (is_pipe) {
        int pipe_fd = fd;
        bool is_made = spool_make(pipe_fd, path, min_free_len, &fd, error);
        close(pipe_fd);
        RETURN_IF_FAILED(is_made);
    }
    if (!input_examine(fd, path, ret_input, error)) {
        close(fd);
        return false;
    }
    if (is_pipe) {
        ret_input->identity = file_identity(&place->status); /* the output may not be the pipe */
    }
    return true;
}

bool input_file_open(struct input_file *ret_input, const char *path, uint64_t min_free_len, struct error *error)
{
    struct file_place place;
    if (path[0] == '\0') {
        return error_set(error, ERROR_USAGE, NULL, "the name of the input is empty");
    }
    RETURN_IF_FAILED(file_place_find(&place, path, ERROR_REASON_OPEN, error));
    bool is_open = place_open(ret_input, &place, path, min_free_len, error);
    if (is_open) {
        ret_input->directory_fd = place.named_fd;
        place.named_fd = -1;
    }
    file_place_release(&place);
    return is_open;
}

void input_file_close(struct input_file *input)
{
    if (input->fd >= 0) {
        close(input->fd);
        close(input->directory_fd);
        input->fd = -1;
    }
}
