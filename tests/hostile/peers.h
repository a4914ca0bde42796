/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two machines of the transport ivshmem (abi/transports/ivshmem.h), for attacks of one on the other: the program
 * runs in both.
 */
#ifndef INSTAR_TESTS_HOSTILE_PEERS_H
#define INSTAR_TESTS_HOSTILE_PEERS_H

#include <stdbool.h>

#include "abi/transports/ivshmem.h"
#include "tests/hostile/attack.h"

/* Which of them this is. */
bool peers_is_reader(const struct runtime *runtime);

/*
 * Does what transport-copy does there: reads for the other machine, for ever, or takes all of the input, by the
 * requests of the usual length. A failure is reported.
 */
void peers_behave(struct runtime *runtime);

/* The parts; the other machine's faults when it is written to. */
struct ivshmem_reader *peers_reader(const struct runtime *runtime);
struct ivshmem_writer *peers_writer(const struct runtime *runtime);

/* Stores `value` to the doorbell. */
void peers_ring(const struct runtime *runtime, uint32_t value);

/* As the one that reads: begins with an input of `len` bytes. */
void peers_begin(const struct runtime *runtime, uint64_t len);
/* Claims to have filled, or emptied, so many slots, and wakes the other machine. */
void peers_claim(const struct runtime *runtime, uint64_t position);

/* Until the other machine ends the job. */
NO_RETURN void peers_sleep(void);

#endif
