/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock (Documentation/userspace-api/landlock.rst): a ruleset that handles every right and grants none.
 *
 * The numbers are spelled out, as the system's header is often older than its kernel. A kernel refuses rights that
 * it does not know, so each interface version gets those it has.
 */
#include "host/jail/jail_landlock.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/jail/jail_sanitizer.h"

/* struct landlock_ruleset_attr as of version 6. Kernels take shorter and longer ones, when the rest is zero. */
struct ruleset {
    uint64_t file_rights;
    uint64_t network_rights;
    uint64_t scopes;
};

/* How many rights each version has; they are numbered from 0. */
static const struct {
    unsigned int file_count;
    unsigned int network_count;
    unsigned int scope_count;
} versions[] = {
    {0, 0, 0},  {13, 0, 0}, /* 1: execute, read, write, directories, remove, make */
    {14, 0, 0},             /* 2: refer */
    {15, 0, 0},             /* 3: truncate */
    {15, 2, 0},             /* 4: bind and connect TCP */
    {16, 2, 0},             /* 5: ioctl on devices */
    {16, 2, 2},             /* 6: abstract UNIX sockets, signals */
};

static uint64_t lowest_bits(unsigned int count)
{
    return (1ull << count) - 1;
}

static bool ruleset_restrict(const struct ruleset *ruleset, struct error *error)
{
    int fd = (int)syscall(SYS_landlock_create_ruleset, ruleset, sizeof(*ruleset), 0);
    if (fd < 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot make a Landlock ruleset: %s", strerror(errno));
    }
    bool is_restricted = syscall(SYS_landlock_restrict_self, fd, 0) == 0;
    if (!is_restricted) {
        error_fill(error, ERROR_HOST, NULL, "cannot enter Landlock: %s", strerror(errno));
    }
    close(fd);
    return is_restricted;
}

bool jail_landlock_restrict(bool *ret_has_landlock, struct error *error)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 0 && errno != ENOSYS && errno != EOPNOTSUPP) {
        return error_set(error, ERROR_HOST, NULL, "cannot ask for Landlock: %s", strerror(errno));
    }
    if (version < 1) {
        *ret_has_landlock = false;
        return true;
    }
    unsigned long known =
        (unsigned long)version < ARRAY_COUNT(versions) ? (unsigned long)version : ARRAY_COUNT(versions) - 1;
    struct ruleset ruleset = {
        .file_rights = lowest_bits(versions[known].file_count),
        .network_rights = lowest_bits(versions[known].network_count),
        .scopes = lowest_bits(versions[known].scope_count),
    };
    if (JAIL_HAS_SANITIZER) {
        ruleset.file_rights = 0;
    }
    /* A ruleset without a right is refused (ENOMSG); only a sanitizer on an old kernel gets here. */
    bool is_empty = (ruleset.file_rights | ruleset.network_rights | ruleset.scopes) == 0;
    if (!is_empty) {
        RETURN_IF_FAILED(ruleset_restrict(&ruleset, error));
    }
    *ret_has_landlock = true;
    return true;
}
