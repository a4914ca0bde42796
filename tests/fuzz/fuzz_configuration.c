/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: any bytes. The directories that it names are looked for, and what is in them is not. */
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "host/cli/configuration.h"

void fuzz_one(const uint8_t *data, size_t len)
{
    char path[64];
    static int file = -1;
    static struct backing_names names;
    static struct policy policy;
    struct configuration configuration;
    struct error error = {0};
    if (file < 0) {
        file = memfd_create("instar.conf", MFD_CLOEXEC);
    }
    FUZZ_ASSERT(file >= 0 && ftruncate(file, 0) == 0 && pwrite(file, data, len, 0) == (ssize_t)len);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    if (!configuration_read(path, true, &configuration, &names, &error) ||
        !backing_names_open(&names, &policy, &error)) {
        FUZZ_ASSERT(error_is_set(&error));
    } else {
        struct limit_values none = {0};
        (void)configuration_limits(&configuration, JOB_INSPECT, &none);
        (void)configuration_limits(&configuration, JOB_CONVERT, &none);
    }
    policy_release(&policy);
    backing_names_release(&names);
}
