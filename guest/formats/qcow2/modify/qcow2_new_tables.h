/* SPDX-License-Identifier: Apache-2.0 */
/*
 * L2 tables that a change has made, and what the L1 table had in their place: so that those are taken away again that
 * nothing has been written to when the change fails. No I/O.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_NEW_TABLES_H
#define INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_NEW_TABLES_H

#include <stdbool.h>
#include <stdint.h>

/* The last ones of those that were made: what was made long before has entries, but for what is out of the ordinary. */
#define QCOW2_NEW_TABLE_MAX 256u

struct qcow2_new_table {
    uint64_t index;       /* in the L1 table */
    uint64_t off;         /* bytes in the file */
    uint64_t old_entry;   /* of the L1 table: 0, or it leads to the table that this one is a copy of */
    bool is_old_released; /* the reference to that one has been taken back */
};

/* All zero: none. */
struct qcow2_new_tables {
    struct qcow2_new_table list[QCOW2_NEW_TABLE_MAX]; /* a ring */
    uint32_t next;                                    /* where the next one goes */
    uint32_t count;                                   /* of those before it that are known */
};

void qcow2_new_tables_add(struct qcow2_new_tables *tables, uint64_t index, uint64_t off, uint64_t old_entry);

/* References to all that there were before have been taken back. */
void qcow2_new_tables_release_old(struct qcow2_new_tables *tables);

/* Takes the one out that was added last, of those that are known. False: there is none. */
bool qcow2_new_tables_take(struct qcow2_new_tables *tables, struct qcow2_new_table *ret_table);

#endif
