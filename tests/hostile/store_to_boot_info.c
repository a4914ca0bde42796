/* SPDX-License-Identifier: Apache-2.0 */
/* A store to the boot information. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    *attack_pointer(LAYOUT_BOOT_INFO_GPA) = 1;
}
