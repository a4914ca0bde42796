/* SPDX-License-Identifier: Apache-2.0 */
/* An entry of the snapshot table as it stands in a file (qcow2.txt, "Snapshots"); id and name follow, up to 8 bytes. */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_LAYOUT_QCOW2_SNAPSHOT_DISK_H
#define INSTAR_GUEST_FORMATS_QCOW2_LAYOUT_QCOW2_SNAPSHOT_DISK_H

#include "base/endian.h"

struct qcow2_snapshot_disk {
    struct be64 l1_table_offset;
    struct be32 l1_size;
    struct be16 id_size;
    struct be16 name_size;
    struct be32 date_sec;
    struct be32 date_nsec;
    struct be64 vm_clock_nsec;
    struct be32 vm_state_size;
    struct be32 extra_data_size;
};

/* The known part of the extra data; older images have less of it. */
struct qcow2_snapshot_extra_disk {
    struct be64 vm_state_size;
    struct be64 disk_size;
    struct be64 icount; /* UINT64_MAX: none */
};

_Static_assert(sizeof(struct qcow2_snapshot_disk) == 40, "section Snapshots");

#endif
