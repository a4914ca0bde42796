/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/child/child_network.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int given_fd = -1;

/* In a process of its own, which has this one's descriptors and not its memory. */
static int network_open(void)
{
    /* Who is not root may have one within a namespace of users. */
    bool has_network = unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
    return has_network ? open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC) : -1;
}

int child_network_make(void)
{
    int *made_fd = mmap(NULL, sizeof(*made_fd), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (made_fd == MAP_FAILED) {
        return -1;
    }
    *made_fd = -1;
    /* As fork, but for the descriptors. */
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0L);
    if (pid == 0) {
        *made_fd = network_open();
        _exit(EXIT_SUCCESS);
    }
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) { /* ends: it does nothing else */
    }
    int network_fd = *made_fd;
    munmap(made_fd, sizeof(*made_fd));
    return network_fd;
}

void child_network_give(int network_fd)
{
    given_fd = network_fd;
}

int child_network_given(void)
{
    return given_fd;
}
