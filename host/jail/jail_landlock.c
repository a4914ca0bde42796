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

/* Numbers of rights, of all versions (linux/landlock.h). */
enum {
    RIGHT_WRITE_FILE = 1,
    RIGHT_READ_FILE = 2,
    RIGHT_READ_DIRECTORY = 3,
    RIGHT_REMOVE_FILE = 5,
    RIGHT_MAKE_REGULAR = 8,
    RIGHT_REFER = 13,
    RIGHT_TRUNCATE = 14,
};

#define BIT(right) (1ull << (right))

static uint64_t rights_of(enum jail_landlock_use use)
{
    switch (use) {
    case JAIL_LANDLOCK_READ_FILE:
        return BIT(RIGHT_READ_FILE);
    case JAIL_LANDLOCK_READ_BELOW:
        return BIT(RIGHT_READ_FILE) | BIT(RIGHT_READ_DIRECTORY);
    case JAIL_LANDLOCK_CHANGE_BELOW:
        break;
    }
    return BIT(RIGHT_READ_FILE) | BIT(RIGHT_READ_DIRECTORY) | BIT(RIGHT_WRITE_FILE) | BIT(RIGHT_REMOVE_FILE) |
           BIT(RIGHT_MAKE_REGULAR) | BIT(RIGHT_REFER) | BIT(RIGHT_TRUNCATE);
}

/* struct landlock_path_beneath_attr, which is packed. */
struct path_rule {
    uint64_t rights;
    int32_t fd;
} __attribute__((packed));

static bool rules_add(int ruleset_fd, uint64_t handled, const struct jail_landlock_rule *rules, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        struct path_rule rule = {.rights = rights_of(rules[i].use) & handled, .fd = rules[i].fd};
        if (syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
            return false;
        }
    }
    return true;
}

bool jail_landlock_confine(const struct jail_landlock_rule *rules, unsigned int count, bool *ret_has_landlock,
                           struct error *error)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    *ret_has_landlock = version >= 1 && !JAIL_HAS_SANITIZER;
    if (!*ret_has_landlock) {
        return true;
    }
    unsigned long known =
        (unsigned long)version < ARRAY_COUNT(versions) ? (unsigned long)version : ARRAY_COUNT(versions) - 1;
    struct ruleset ruleset = {
        .file_rights = lowest_bits(versions[known].file_count),
        .network_rights = lowest_bits(versions[known].network_count),
        /* Not signals: the child is outside of the domain, and is ended by one. */
        .scopes = lowest_bits(versions[known].scope_count > 0),
    };
    int fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);
    bool is_confined =
        fd >= 0 && rules_add(fd, ruleset.file_rights, rules, count) && syscall(SYS_landlock_restrict_self, fd, 0) == 0;
    if (!is_confined) {
        error_fill(error, ERROR_HOST, NULL, "cannot enter Landlock: %s", strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    return is_confined;
}
