/* SPDX-License-Identifier: Apache-2.0 */
/* How the files of an image that changes are written to, and made longer. */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_MODIFY_STORE_H
#define INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_MODIFY_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"

struct qcow2_modify;

/* Of tables and counts that are changed or copied, bytes. */
#define QCOW2_STORE_LEN_MAX 65536u

/* Everything so far is on stable storage; nothing is under way afterwards. */
MUST_CHECK bool qcow2_modify_flush(struct qcow2_modify *modify, struct error *error);
/* Makes the file long enough for bytes up to `end_off`, and longer. */
MUST_CHECK bool qcow2_modify_grow_to(struct qcow2_modify *modify, uint64_t end_off, struct error *error);
/* The same for the file that has the clusters' content. The external one gets the disk's length at once. */
MUST_CHECK bool qcow2_modify_grow_data_to(struct qcow2_modify *modify, uint64_t end_off, struct error *error);
/* Gives the external data file this length. */
MUST_CHECK bool qcow2_modify_set_data_len(struct qcow2_modify *modify, uint64_t len, struct error *error);
/* Writes arena memory, whole sectors, and waits. */
MUST_CHECK bool qcow2_modify_write(struct qcow2_modify *modify, uint64_t off, const void *data, uint64_t len,
                                   uint32_t own, struct error *error);
/* Writes a few bytes, QCOW2_STORE_LEN_MAX - 1024 at most, and waits; what is around them stays. */
MUST_CHECK bool qcow2_modify_store(struct qcow2_modify *modify, uint64_t off, const void *data, uint32_t len,
                                   uint32_t own, struct error *error);
MUST_CHECK bool qcow2_modify_store_be64(struct qcow2_modify *modify, uint64_t off, uint64_t value, uint32_t own,
                                        struct error *error);
/*
 * A new table, where nobody's is: `len` bytes, whole sectors, the first copy_len of them from `source_off` of the file,
 * the others are 0.
 */
MUST_CHECK bool qcow2_modify_copy_table(struct qcow2_modify *modify, uint64_t off, uint64_t len, uint64_t source_off,
                                        uint64_t copy_len, struct error *error);
/* Zeros in the file with the clusters' content, which is long enough; without may_unmap their storage is reserved. */
MUST_CHECK bool qcow2_modify_write_zeroes(struct qcow2_modify *modify, uint64_t off, uint64_t len, bool may_unmap,
                                          struct error *error);

#endif
