/* SPDX-License-Identifier: Apache-2.0 */
/* The name under which the program was started: as `qemu-img`, it says nothing that qemu-img would not. */
#ifndef INSTAR_HOST_CLI_PERSONALITY_H
#define INSTAR_HOST_CLI_PERSONALITY_H

#include <stdbool.h>

/* First thing in main. `argv0` may be NULL. */
void personality_choose(const char *argv0);

/* "instar" or "qemu-img"; errors begin with it. */
const char *program_name(void);
bool is_qemu_img(void);

#endif
