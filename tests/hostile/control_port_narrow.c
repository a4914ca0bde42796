/* SPDX-License-Identifier: Apache-2.0 */
/* A one-byte write to a control port. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    platform_port_write8(PORT_WAIT, WAIT_WAKE);
}
