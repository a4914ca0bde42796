/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_HOST_JAIL_JAIL_LIMITS_H
#define INSTAR_HOST_JAIL_JAIL_LIMITS_H

#include <stdbool.h>

#include "base/error.h"
#include "host/jail/jail.h"

/* What can be limited at once: core dumps and locked memory. */
bool jail_limits_enter(struct error *error);

/* What can be limited when all is open and all threads exist: descriptors, processes, address space. */
bool jail_limits_close(struct jail *jail, struct error *error);

#endif
