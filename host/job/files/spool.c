/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/files/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/zeros.h"
#include "host/devices/write_budget.h"
#include "host/devices/write_room.h"
#include "host/job/files/files.h"

#define DIRECTORY_VARIABLE "TMPDIR"
#define DIRECTORY_DEFAULT "/var/tmp"
#define BUFFER_LEN (1u << 20)
/* Shorter runs of zeros are stored. */
#define BLOCK_LEN 4096u

static const char *spool_directory(void)
{
    const char *directory = getenv(DIRECTORY_VARIABLE);
    return directory != NULL && directory[0] != '\0' ? directory : DIRECTORY_DEFAULT;
}

/* As much as fits, or comes: less only at the end. Returns 0 or an errno. */
static int buffer_fill(int fd, uint8_t *buffer, size_t *ret_len)
{
    size_t len = 0;
    ssize_t got;
    do {
        got = read(fd, buffer + len, BUFFER_LEN - len);
        len += got > 0 ? (size_t)got : 0;
    } while ((got > 0 && len < BUFFER_LEN) || (got < 0 && errno == EINTR));
    *ret_len = len;
    return got < 0 ? errno : 0;
}

/* Where it goes. */
struct spool {
    int fd;
    int reader; /* another description of the file, as a source has one */
    struct write_budget budget;
    struct write_room room; /* on the file system of the directory */
};

static int reopen_for_reading(int fd)
{
    char self[64];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    return open(self, O_RDONLY | O_CLOEXEC);
}

static bool is_same_file(int fd, int other)
{
    struct stat status;
    struct stat other_status;
    return fstat(fd, &status) == 0 && fstat(other, &other_status) == 0 && status.st_dev == other_status.st_dev &&
           status.st_ino == other_status.st_ino;
}

/*
 * For file systems that have no unnamed files (NFS, FUSE, overlays of old kernels), and where there is no /proc: a file
 * that loses its name when it is open. Returns 0 or an errno.
 */
static int named_open(struct spool *spool)
{
    char name[PATH_MAX];
    int len = snprintf(name, sizeof(name), "%s/.instar-XXXXXX", spool_directory());
    if (len < 0 || (size_t)len >= sizeof(name)) {
        return ENAMETOOLONG;
    }
    spool->fd = mkostemp(name, O_CLOEXEC);
    if (spool->fd < 0) {
        return errno;
    }
    spool->reader = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int result = spool->reader < 0 ? errno : 0;
    if (unlink(name) != 0 && result == 0) {
        result = errno;
    }
    return result == 0 && !is_same_file(spool->fd, spool->reader) ? ESTALE : result;
}

/* Returns 0 or an errno. */
static int spool_open(struct spool *spool)
{
    spool->fd = open(spool_directory(), O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (spool->fd < 0) {
        return errno == EOPNOTSUPP || errno == EISDIR ? named_open(spool) : errno;
    }
    spool->reader = reopen_for_reading(spool->fd);
    if (spool->reader >= 0) {
        return 0;
    }
    close(spool->fd);
    return named_open(spool);
}

/* Returns 0 or an errno. */
static int spool_init(struct spool *spool, uint64_t min_free_len)
{
    struct error ignored; /* memory: not for this little */
    *spool = (struct spool){.fd = -1, .reader = -1};
    int result = spool_open(spool);
    write_budget_init(&spool->budget, 0);
    if (result == 0 && !write_room_of_file(&spool->room, &spool->budget, spool->fd, min_free_len, &ignored)) {
        return ENOMEM;
    }
    return result;
}

static void spool_release(struct spool *spool)
{
    write_budget_release(&spool->budget);
    if (spool->fd >= 0) {
        close(spool->fd);
    }
    if (spool->reader >= 0) {
        close(spool->reader);
    }
}

static bool cannot_keep(const char *path, int errno_value, struct error *error)
{
    return error_set(error, file_error_kind(errno_value), path, "cannot keep what comes from the pipe in %s: %s",
                     spool_directory(), strerror(errno_value));
}

static bool bytes_write(const struct spool *spool, struct span bytes, uint64_t off, const char *path,
                        struct error *error)
{
    while (bytes.len > 0) { /* ends: each round but one that a signal ends writes something */
        ssize_t written = pwrite(spool->fd, bytes.data, bytes.len, (off_t)off);
        if (written < 0 && errno != EINTR) {
            return cannot_keep(path, errno, error);
        }
        size_t written_len = written > 0 ? (size_t)written : 0;
        bytes = (struct span){bytes.data + written_len, bytes.len - written_len};
        off += written_len;
    }
    return true;
}

static bool block_write(struct spool *spool, struct span bytes, uint64_t off, const char *path, struct error *error)
{
    uint64_t room_len;
    if (bytes_are_zero(bytes)) {
        return true;
    }
    if (write_room_take(&spool->room, off, bytes.len, &room_len) != WRITE_GRANTED) {
        return error_set(error, ERROR_LIMIT, path,
                         "cannot keep what comes from the pipe in %s: %s: less than %" PRIu64
                         " bytes would be free there (--min-free)",
                         spool_directory(), strerror(ENOSPC), spool->room.disk->min_free_len);
    }
    bool success = bytes_write(spool, bytes, off, path, error);
    write_room_stored(&spool->room, room_len);
    return success;
}

static bool buffer_write(struct spool *spool, struct span buffer, uint64_t off, const char *path, struct error *error)
{
    for (size_t done_len = 0; done_len < buffer.len; done_len += BLOCK_LEN) {
        size_t block_len = buffer.len - done_len < BLOCK_LEN ? buffer.len - done_len : BLOCK_LEN;
        RETURN_IF_FAILED(
            block_write(spool, (struct span){buffer.data + done_len, block_len}, off + done_len, path, error));
    }
    return true;
}

static bool content_take(int from, struct spool *spool, const char *path, uint8_t *buffer, struct error *error)
{
    uint64_t off = 0;
    size_t len;
    do { /* ends with the pipe, or with what may be stored */
        int result = buffer_fill(from, buffer, &len);
        if (result != 0) {
            return error_set(error, ERROR_IO, path, "cannot read: %s", strerror(result));
        }
        RETURN_IF_FAILED(buffer_write(spool, (struct span){buffer, len}, off, path, error));
        off += len;
        if (len < BUFFER_LEN && ftruncate(spool->fd, (off_t)off) != 0) {
            return cannot_keep(path, errno, error);
        }
    } while (len == BUFFER_LEN);
    return true;
}

bool spool_make(int fd, const char *path, uint64_t min_free_len, int *ret_fd, struct error *error)
{
    struct spool spool;
    int result = spool_init(&spool, min_free_len);
    uint8_t *buffer = malloc(BUFFER_LEN);
    bool success = false;
    if (result != 0) {
        error_fill(error, ERROR_IO, path, "cannot make a file in %s for what comes from the pipe: %s",
                   spool_directory(), strerror(result));
    } else if (buffer == NULL) {
        error_fill(error, ERROR_HOST, path, "out of memory");
    } else {
        success = content_take(fd, &spool, path, buffer, error);
    }
    if (success) {
        *ret_fd = spool.reader;
        spool.reader = -1; /* the caller's */
    }
    free(buffer);
    spool_release(&spool);
    return success;
}
