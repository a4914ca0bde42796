/* SPDX-License-Identifier: Apache-2.0 */
/* Writes to the disk of the transports pipe and ring (abi/transports/sector_disk.h). */
#ifndef INSTAR_TESTS_HOSTILE_SECTORS_H
#define INSTAR_TESTS_HOSTILE_SECTORS_H

#include "abi/transports/sector_disk.h"
#include "tests/hostile/raw_ring.h"

/* One sector, whose first `len` bytes are `content`, at the offset `off`. Returns when it is written, or never. */
void sectors_write(struct runtime *runtime, uint64_t off, const void *content, uint64_t len);

#endif
