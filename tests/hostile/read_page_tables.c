/* SPDX-License-Identifier: Apache-2.0 */
/* A load from the page tables. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    (void)*attack_pointer(LAYOUT_PAGE_TABLES_GPA);
}
