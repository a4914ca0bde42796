/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/files/descriptors.h"

#include <errno.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

bool descriptors_close(int first, int last)
{
    if (first > last || close_range((unsigned int)first, (unsigned int)last, 0) == 0) {
        return true;
    }
    /* Before Linux 5.9 one by one: numbers end at the hard limit, above which nothing can have been opened but by who
     * has raised it. */
    struct rlimit limit;
    if (errno != ENOSYS || getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max > INT32_MAX) {
        return false;
    }
    for (int fd = first; fd <= last && (uint64_t)fd < limit.rlim_max; fd++) {
        close(fd);
    }
    return true;
}
