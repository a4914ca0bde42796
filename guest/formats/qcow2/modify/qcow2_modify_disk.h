/* SPDX-License-Identifier: Apache-2.0 */
/* The content of an image that changes, as a target has it (guest/image/write/target.h). */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_MODIFY_DISK_H
#define INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_MODIFY_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/formats/qcow2/modify/qcow2_modify_tables.h"
#include "guest/image/write/target.h"

struct qcow2_modify;

/* Whether there is storage for the cluster's content that is not compressed. */
bool qcow2_modify_has_storage(const struct qcow2_modify *modify, struct qcow2_l2_entry entry);
bool qcow2_modify_disk_write(struct target *target, struct target_write *write, uint64_t voff, const void *data,
                             uint64_t len, uint64_t *ret_len, struct error *error);
bool qcow2_modify_disk_copy(struct target *target, struct target_write *write, uint64_t voff, struct file *source,
                            uint64_t source_off, uint64_t len, uint32_t zero_len, uint64_t *ret_len,
                            struct error *error);
/*
 * Storage at host_off of the file, which is long enough, reads as zeros at voff of the disk: of an encrypted image
 * these are written. Waits.
 */
MUST_CHECK bool qcow2_modify_store_zeros(struct qcow2_modify *modify, uint64_t host_off, uint64_t voff, uint64_t len,
                                         struct error *error);
bool qcow2_modify_disk_zero(struct target *target, uint64_t voff, uint64_t len, struct error *error);
/* A cluster's content is not wanted any more, and it is unallocated afterwards. */
MUST_CHECK bool qcow2_modify_forget(struct qcow2_modify *modify, uint64_t voff, struct error *error);

/* The storage that an entry leads to, and that is counted: clusters, or a stream's bytes. *ret_len 0: there is none. */
MUST_CHECK bool qcow2_modify_storage_of(const struct qcow2_modify *modify, struct qcow2_l2_entry entry,
                                        uint64_t *ret_off, uint64_t *ret_len, struct error *error);
/* What an entry leads to is to be released. */
MUST_CHECK bool qcow2_modify_release_entry(struct qcow2_modify *modify, struct qcow2_l2_entry entry,
                                           struct error *error);

#endif
