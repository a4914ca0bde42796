/* SPDX-License-Identifier: Apache-2.0 */
/* A load from behind the registers of the last device that a machine can have. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    (void)*attack_pointer(LAYOUT_REGISTERS_DEVICE_GPA(LAYOUT_DEVICE_MAX));
}
