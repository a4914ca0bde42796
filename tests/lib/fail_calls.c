/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: a failing disk. INSTAR_TEST_FAIL is CALL:N, one of preadv, pwritev, fallocate, ftruncate and
 * fdatasync; from the Nth of these calls of a process on, each of them is answered with EIO.
 *
 * INSTAR_TEST_FILE_LIMIT is a number of bytes: no file gets longer, as on a file system with such a limit. The kernel's
 * own (RLIMIT_FSIZE) also concerns memory that is a file, which neither of the two does here.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *failing_call;
static size_t failing_len;
static long failing_number;
static atomic_long call_count;
static long file_limit; /* bytes; 0: none */

#define DESCRIPTOR_MAX 1024
static atomic_bool is_memory[DESCRIPTOR_MAX];

__attribute__((constructor)) static void failure_take(void)
{
    const char *text = getenv("INSTAR_TEST_FAIL");
    const char *limit = getenv("INSTAR_TEST_FILE_LIMIT");
    file_limit = limit != NULL ? strtol(limit, NULL, 10) : 0;
    const char *colon = text != NULL ? strchr(text, ':') : NULL;
    if (colon != NULL) {
        failing_call = text;
        failing_len = (size_t)(colon - text);
        failing_number = strtol(colon + 1, NULL, 10);
    }
}

static int fails(const char *call)
{
    return failing_call != NULL && strlen(call) == failing_len && memcmp(call, failing_call, failing_len) == 0 &&
           ++call_count >= failing_number;
}

static long answer(const char *call, long number, long a, long b, long c, long d)
{
    if (fails(call)) {
        errno = EIO;
        return -1;
    }
    return syscall(number, a, b, c, d, 0L);
}

static int passes_limit(int fd, off64_t end)
{
    int is_file = fd < 0 || fd >= DESCRIPTOR_MAX || !is_memory[fd];
    if (file_limit == 0 || end <= file_limit || !is_file) {
        return 0;
    }
    errno = EFBIG;
    return 1;
}

int memfd_create(const char *name, unsigned int flags)
{
    int fd = (int)syscall(SYS_memfd_create, name, flags);
    if (fd >= 0 && fd < DESCRIPTOR_MAX) {
        is_memory[fd] = true;
    }
    return fd;
}

int close(int fd)
{
    if (fd >= 0 && fd < DESCRIPTOR_MAX) {
        is_memory[fd] = false;
    }
    return (int)syscall(SYS_close, fd);
}

/* The names that calls have with 64-bit offsets. */
ssize_t preadv64(int fd, const struct iovec *iov, int iov_count, off64_t off)
{
    return answer("preadv", SYS_preadv, fd, (long)iov, iov_count, off);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int iov_count, off64_t off)
{
    off64_t len = 0;
    for (int i = 0; i < iov_count; i++) {
        len += (off64_t)iov[i].iov_len;
    }
    if (passes_limit(fd, off + len)) {
        return -1;
    }
    return answer("pwritev", SYS_pwritev, fd, (long)iov, iov_count, off);
}

int fallocate64(int fd, int mode, off64_t off, off64_t len)
{
    if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && passes_limit(fd, off + len)) {
        return -1;
    }
    return (int)answer("fallocate", SYS_fallocate, fd, mode, off, len);
}

int ftruncate64(int fd, off64_t len)
{
    if (fd >= 0 && fd < DESCRIPTOR_MAX && is_memory[fd]) {
        return (int)syscall(SYS_ftruncate, fd, len);
    }
    if (passes_limit(fd, len)) {
        return -1;
    }
    return (int)answer("ftruncate", SYS_ftruncate, fd, len, 0, 0);
}

int fdatasync(int fd)
{
    return (int)answer("fdatasync", SYS_fdatasync, fd, 0, 0, 0);
}
