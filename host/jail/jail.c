/* SPDX-License-Identifier: Apache-2.0 */
#include "host/jail/jail.h"

#include <fcntl.h>

#include "host/jail/jail_filter.h"
#include "host/jail/jail_landlock.h"
#include "host/jail/jail_limits.h"
#include "host/jail/jail_namespaces.h"
#include "host/jail/jail_privileges.h"
#include "host/jail/jail_sanitizer.h"

bool jail_enter(struct jail *jail, const struct jail_config *config, struct error *error)
{
    *jail = (struct jail){.config = *config};
    jail->config.parts |= JAIL_HAS_SANITIZER ? JAIL_SANITIZER : 0;
    jail->size_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (jail->size_fd < 0) {
        jail->gaps |= JAIL_GAP_ADDRESS_SPACE;
    }
    bool has_namespaces;
    RETURN_IF_FAILED(jail_namespaces_enter(config->network_fd, &has_namespaces, error));
    if (!has_namespaces && !JAIL_HAS_SANITIZER) {
        jail->gaps |= JAIL_GAP_NAMESPACES;
    }
    RETURN_IF_FAILED(jail_privileges_drop(error));
    bool has_landlock;
    RETURN_IF_FAILED(jail_landlock_restrict(&has_landlock, error));
    if (!has_landlock) {
        jail->gaps |= JAIL_GAP_LANDLOCK;
    }
    RETURN_IF_FAILED(jail_limits_enter(error));
    jail->filters = jail_filters_make(&jail->config, error);
    return jail->filters != NULL;
}

bool jail_confine(const struct jail *jail, enum jail_role role, struct error *error)
{
    return jail_filter_load(&jail->filters[role], error);
}

bool jail_close(struct jail *jail, struct error *error)
{
    return jail_limits_close(jail, error) && jail_confine(jail, JAIL_ROLE_FIRST, error);
}

const char *jail_gap_describe(enum jail_gap gap)
{
    switch (gap) {
    case JAIL_GAP_LANDLOCK:
        return "jail: this kernel has no Landlock: file names are kept away by the list of system calls alone";
    case JAIL_GAP_NAMESPACES:
        return "jail: this system gives no namespaces: Landlock and the list of system calls stand alone";
    case JAIL_GAP_USER:
        return "jail: this system does not let the machine's process have a user of its own";
    case JAIL_GAP_ADDRESS_SPACE:
        return "jail: without /proc the address space is not limited";
    }
    return "jail: incomplete";
}
