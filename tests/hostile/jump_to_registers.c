/* SPDX-License-Identifier: Apache-2.0 */
/* A jump into the registers of a device. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    attack_jump(LAYOUT_REGISTERS_DEVICE_GPA(0));
}
