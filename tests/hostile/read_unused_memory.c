/* SPDX-License-Identifier: Apache-2.0 */
/* A load from low memory that belongs to nobody. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    (void)*attack_pointer(LAYOUT_PAGE_TABLES_GPA + LAYOUT_PAGE_TABLES_LEN);
}
