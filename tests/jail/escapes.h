/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_TESTS_JAIL_ESCAPES_H
#define INSTAR_TESTS_JAIL_ESCAPES_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What an attacker would try, each with arguments that would succeed outside: every one must end a process of these
 * parts. Prints those that do not. Returns whether there are none.
 */
bool escapes_run(uint32_t parts);

#endif
