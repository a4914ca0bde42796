/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/zeros.h"
#include "host/job/files.h"

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

/* Returns 0 or an errno. */
static int block_write(int fd, const uint8_t *bytes, size_t len, uint64_t off)
{
    if (bytes_are_zero((struct span){bytes, len})) {
        return 0;
    }
    while (len > 0) {
        ssize_t written = pwrite(fd, bytes, len, (off_t)off);
        if (written < 0 && errno != EINTR) {
            return errno;
        }
        size_t written_len = written > 0 ? (size_t)written : 0;
        bytes += written_len;
        off += written_len;
        len -= written_len;
    }
    return 0;
}

static int buffer_write(int fd, const uint8_t *buffer, size_t len, uint64_t off)
{
    int result = 0;
    for (size_t done_len = 0; result == 0 && done_len < len; done_len += BLOCK_LEN) {
        size_t block_len = len - done_len < BLOCK_LEN ? len - done_len : BLOCK_LEN;
        result = block_write(fd, buffer + done_len, block_len, off + done_len);
    }
    return result;
}

static bool content_take(int from, int to, const char *path, uint8_t *buffer, struct error *error)
{
    uint64_t off = 0;
    size_t len;
    do { /* ends with the pipe */
        int result = buffer_fill(from, buffer, &len);
        if (result != 0) {
            return error_set(error, ERROR_IO, path, "cannot read: %s", strerror(result));
        }
        result = buffer_write(to, buffer, len, off);
        off += len;
        if (result == 0 && len < BUFFER_LEN && ftruncate(to, (off_t)off) != 0) {
            result = errno;
        }
        if (result != 0) {
            return error_set(error, file_error_kind(result), path, "cannot keep what comes from the pipe in %s: %s",
                             spool_directory(), strerror(result));
        }
    } while (len == BUFFER_LEN);
    return true;
}

/* Another description of the file, as a source has one. */
static int reopen_for_reading(int fd)
{
    char self[64];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    return open(self, O_RDONLY | O_CLOEXEC);
}

bool spool_make(int fd, const char *path, int *ret_fd, struct error *error)
{
    int spool = open(spool_directory(), O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    uint8_t *buffer = malloc(BUFFER_LEN);
    int reader = -1;
    bool is_made = false;
    if (spool < 0) {
        error_fill(error, ERROR_IO, path, "cannot make a file in %s for what comes from the pipe: %s",
                   spool_directory(), strerror(errno));
    } else if (buffer == NULL) {
        error_fill(error, ERROR_HOST, path, "out of memory");
    } else if (content_take(fd, spool, path, buffer, error)) {
        reader = reopen_for_reading(spool);
        is_made = reader >= 0 || error_set(error, ERROR_IO, path, "cannot open again: %s", strerror(errno));
    }
    free(buffer);
    if (spool >= 0) {
        close(spool);
    }
    if (is_made) {
        *ret_fd = reader;
    }
    return is_made;
}
