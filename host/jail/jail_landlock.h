/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_HOST_JAIL_JAIL_LANDLOCK_H
#define INSTAR_HOST_JAIL_JAIL_LANDLOCK_H

#include <stdbool.h>

#include "base/error.h"

/*
 * Takes from the calling thread, and those that it makes, every right that this kernel's Landlock knows: to files
 * by name, to TCP ports, and to abstract sockets and processes outside. What is open stays open. Needs no new
 * privileges first. *ret_has_landlock is false where the kernel has none.
 */
bool jail_landlock_restrict(bool *ret_has_landlock, struct error *error);

#endif
