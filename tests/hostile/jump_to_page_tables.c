/* SPDX-License-Identifier: Apache-2.0 */
/* A jump into the page tables. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    attack_jump(LAYOUT_PAGE_TABLES_GPA);
}
