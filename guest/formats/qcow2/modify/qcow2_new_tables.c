/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/modify/qcow2_new_tables.h"

void qcow2_new_tables_add(struct qcow2_new_tables *tables, uint64_t index, uint64_t off, uint64_t old_entry)
{
    if (tables->count < QCOW2_NEW_TABLE_MAX) {
        tables->count++;
    }
    tables->list[tables->next] = (struct qcow2_new_table){.index = index, .off = off, .old_entry = old_entry};
    tables->next = (tables->next + 1) % QCOW2_NEW_TABLE_MAX;
}

void qcow2_new_tables_release_old(struct qcow2_new_tables *tables)
{
    for (uint32_t i = 0; i < QCOW2_NEW_TABLE_MAX; i++) {
        tables->list[i].is_old_released = true;
    }
}

bool qcow2_new_tables_take(struct qcow2_new_tables *tables, struct qcow2_new_table *ret_table)
{
    if (tables->count == 0) {
        return false;
    }
    tables->count--;
    tables->next = (tables->next + QCOW2_NEW_TABLE_MAX - 1) % QCOW2_NEW_TABLE_MAX;
    *ret_table = tables->list[tables->next];
    return true;
}
