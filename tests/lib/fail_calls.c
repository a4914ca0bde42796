/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: a failing disk. INSTAR_TEST_FAIL is CALL:N, one of preadv, pwritev, fallocate, ftruncate and
 * fdatasync; from the Nth of these calls of a process on, each of them is answered with EIO.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *failing_call;
static size_t failing_len;
static long failing_number;
static atomic_long call_count;

__attribute__((constructor)) static void failure_take(void)
{
    const char *text = getenv("INSTAR_TEST_FAIL");
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

/* The names that calls have with 64-bit offsets. */
ssize_t preadv64(int fd, const struct iovec *iov, int iov_count, off64_t off)
{
    return answer("preadv", SYS_preadv, fd, (long)iov, iov_count, off);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int iov_count, off64_t off)
{
    return answer("pwritev", SYS_pwritev, fd, (long)iov, iov_count, off);
}

int fallocate64(int fd, int mode, off64_t off, off64_t len)
{
    return (int)answer("fallocate", SYS_fallocate, fd, mode, off, len);
}

int ftruncate64(int fd, off64_t len)
{
    return (int)answer("ftruncate", SYS_ftruncate, fd, len, 0, 0);
}

int fdatasync(int fd)
{
    return (int)answer("fdatasync", SYS_fdatasync, fd, 0, 0, 0);
}
