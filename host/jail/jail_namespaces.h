/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_HOST_JAIL_JAIL_NAMESPACES_H
#define INSTAR_HOST_JAIL_JAIL_NAMESPACES_H

#include <stdbool.h>

#include "base/error.h"

/*
 * Gives the process, which has one thread, namespaces of its own: of users, in which it is nobody; of mounts, whose
 * root is an empty file system; of the network, without an interface that is up; of System V's and POSIX's queues. A
 * second wall behind Landlock, and the first one where the kernel has none of that. What is open stays open.
 *
 * `network_fd`, unless it is 0, is a network namespace to be in instead of a new one, and is closed. One that the
 * system does not let the process be in is passed over.
 *
 * *ret_has_namespaces is false where the system does not give them: to who is not root it need not. Fails when the
 * process has got them and cannot empty its file system.
 */
bool jail_namespaces_enter(int network_fd, bool *ret_has_namespaces, struct error *error);

#endif
