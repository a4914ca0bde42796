/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Races: vCPU 1 changes what the device is about to read, while vCPU 0 sends requests. A device that reads a
 * value twice checks one and uses another.
 *
 * A device may stop at such a ring, or serve what it saw: every end is right, but a crash of the VMM.
 */
#ifndef INSTAR_TESTS_HOSTILE_RACE_H
#define INSTAR_TESTS_HOSTILE_RACE_H

#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

#define RACE_ROUNDS 3000u

/* Lets vCPU 1 call `flip`, over and over, with a number that counts up. */
void race_begin(void (*flip)(unsigned int count));

/* Offers `head`, RACE_ROUNDS times, and waits for the answer each time. */
void race_run(struct raw_ring *ring, uint16_t head);

#endif
