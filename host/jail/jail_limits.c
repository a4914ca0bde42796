/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resource limits, soft and hard alike, so that a process without capabilities cannot raise them again.
 *
 * Not limited: file sizes where the guest sets them, for the device bounds what is stored; processor time, which is a
 * limit of the job (host/job).
 */
#include "host/jail/jail_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/checked.h"
#include "host/jail/jail_sanitizer.h"

/* Lowers a limit; one that is lower already stays. */
static bool limit_lower(__rlimit_resource_t resource, const char *what, uint64_t value, struct error *error)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot read the limit of %s: %s", what, strerror(errno));
    }
    limit.rlim_cur = min_u64(limit.rlim_cur, value); /* RLIM_INFINITY is the largest number */
    limit.rlim_max = limit.rlim_cur;
    if (setrlimit(resource, &limit) != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot limit %s: %s", what, strerror(errno));
    }
    return true;
}

/* Descriptor numbers that are looked at by one call: of an image with extents, more than 2,000 are. */
#define DESCRIPTORS_LOOKED_AT 256u

/*
 * Which of the numbers from first_fd on are free. None of this process's is a handle that opens nothing (O_PATH), which
 * poll would take for a free one. poll refuses more than the limit lets be open: one by one, then.
 */
static void descriptors_look(int first_fd, struct pollfd *ret_fds)
{
    for (unsigned int i = 0; i < DESCRIPTORS_LOOKED_AT; i++) {
        ret_fds[i] = (struct pollfd){.fd = first_fd + (int)i};
    }
    if (poll(ret_fds, DESCRIPTORS_LOOKED_AT, 0) >= 0) {
        return;
    }
    for (unsigned int i = 0; i < DESCRIPTORS_LOOKED_AT; i++) {
        ret_fds[i].revents = fcntl(ret_fds[i].fd, F_GETFD) < 0 ? POLLNVAL : 0;
    }
}

/*
 * The limit below which exactly `count` descriptor numbers are free. Descriptors with higher numbers stay usable.
 * poll wants a limit that is not below the number of its descriptors: 0 to 2 are open in every process of ours.
 * Ends: as every number is tried once, and the kernel has a bound on numbers.
 */
static uint64_t descriptor_limit(unsigned int count)
{
    for (int first_fd = 0;; first_fd += DESCRIPTORS_LOOKED_AT) {
        struct pollfd fds[DESCRIPTORS_LOOKED_AT];
        descriptors_look(first_fd, fds);
        for (unsigned int i = 0; i < DESCRIPTORS_LOOKED_AT; i++) {
            bool is_free = (fds[i].revents & POLLNVAL) != 0;
            if (is_free && count == 0) {
                return (uint64_t)fds[i].fd;
            }
            count -= is_free;
        }
    }
}

/* The size of the address space now, in bytes; 0 when it cannot be told. Closes the descriptor. */
static uint64_t address_space_len(struct jail *jail)
{
    char text[64] = {0};
    uint64_t page_count = 0;
    if (jail->size_fd >= 0 && pread(jail->size_fd, text, sizeof(text) - 1, 0) > 0) {
        page_count = strtoull(text, NULL, 10); /* proc(5): the first number is the size in pages */
    }
    close(jail->size_fd);
    jail->size_fd = -1;
    return page_count * (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool address_space_limit(struct jail *jail, struct error *error)
{
    uint64_t len = address_space_len(jail);
    if (len == 0) {
        jail->gaps |= JAIL_GAP_ADDRESS_SPACE;
        return true;
    }
    return limit_lower(RLIMIT_AS, "address space", len + jail->config.growth_len, error);
}

bool jail_limits_enter(struct error *error)
{
    RETURN_IF_FAILED(limit_lower(RLIMIT_CORE, "core dumps", 0, error));
    return limit_lower(RLIMIT_MEMLOCK, "locked memory", 0, error);
}

bool jail_limits_close(struct jail *jail, struct error *error)
{
    if (JAIL_HAS_SANITIZER) {
        close(jail->size_fd);
        return true;
    }
    RETURN_IF_FAILED(address_space_limit(jail, error));
    if (jail->config.has_file_len) {
        RETURN_IF_FAILED(limit_lower(RLIMIT_FSIZE, "file sizes", jail->config.file_len_max, error));
    }
    RETURN_IF_FAILED(limit_lower(RLIMIT_NOFILE, "descriptors", descriptor_limit(jail->config.late_file_count), error));
    /* The kernel's own workers for io_uring count as processes: without them, an operation that blocks is cancelled. */
    if ((jail->config.parts & JAIL_BACKEND_IO_URING) != 0) {
        return true;
    }
    return limit_lower(RLIMIT_NPROC, "processes", 0, error);
}
