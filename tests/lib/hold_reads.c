/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: preadv does not begin while the first byte of the file that INSTAR_TEST_HOLD names is not 0.
 * So a test can look at a job that is at work, however fast it is.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Longer than any test: who was to let us go may have been killed. */
#define HOLD_MAX_MS 120000

static const volatile char *hold;

/* Mapped at the start: later the process may have lost the right to open files. */
__attribute__((constructor)) static void hold_map(void)
{
    const char *path = getenv("INSTAR_TEST_HOLD");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return;
    }
    void *mapped = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
    hold = mapped != MAP_FAILED ? mapped : NULL;
    close(fd);
}

/* The name that preadv has with 64-bit offsets. */
ssize_t preadv64(int fd, const struct iovec *iov, int iov_count, off64_t off)
{
    static const struct timespec pause = {.tv_nsec = 1000000};
    static const int unchanged;
    for (int i = 0; hold != NULL && *hold != 0 && i < HOLD_MAX_MS; i++) {
        /* Of all that waits, the jail allows this on every thread. */
        syscall(SYS_futex, &unchanged, FUTEX_WAIT_PRIVATE, 0, &pause, NULL, 0);
    }
    return syscall(SYS_preadv, fd, iov, iov_count, off, 0);
}
