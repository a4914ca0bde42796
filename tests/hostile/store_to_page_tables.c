/* SPDX-License-Identifier: Apache-2.0 */
/* A store to the page tables. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    *attack_pointer(LAYOUT_PAGE_TABLES_GPA) = 1;
}
