/* SPDX-License-Identifier: Apache-2.0 */
/* A load from the registers of a device that the machine does not have. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    (void)*attack_pointer(LAYOUT_REGISTERS_DEVICE_GPA(9));
}
