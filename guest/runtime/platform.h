/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine that the guest runs on: ports, device registers, time.
 *
 * Nothing else in guest/ knows how they are reached: by instructions in a virtual machine, by requests in a
 * mailbox where a process stands in for it (boot_info.platform). A unit test only has to replace platform.c.
 */
#ifndef INSTAR_GUEST_RUNTIME_PLATFORM_H
#define INSTAR_GUEST_RUNTIME_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/span.h"

/* Port output (abi/ports.h). Each instruction costs an emulation, of 3 to 25 us; most ports an exit on top. */
void platform_port_write8(uint16_t port, uint8_t value);
void platform_port_write32(uint16_t port, uint32_t value);
uint8_t platform_port_read8(uint16_t port);

/*
 * Writes all of `data` to a data port, with two instructions at most: the kernel emulates all of a string
 * output at once, as its writes are coalesced, in less than 1 us for each 4 bytes.
 */
void platform_port_write(uint16_t port, const void *data, size_t len);

/* Reads exactly `len` bytes from a data port. */
void platform_port_read(uint16_t port, void *target, size_t len);

/* Reads `count` words of 4 bytes, with one instruction. */
void platform_port_read_words(uint16_t port, void *target, size_t count);
uint32_t platform_port_read32(uint16_t port);

/*
 * Device registers, at their width. Loads are cheap. A store is in effect when the function returns, except
 * that the device's work on a queue notification goes on behind it.
 */
uint8_t platform_register_read8(uint64_t register_gpa);
uint16_t platform_register_read16(uint64_t register_gpa);
uint32_t platform_register_read32(uint64_t register_gpa);
void platform_register_write8(uint64_t register_gpa, uint8_t value);
void platform_register_write32(uint64_t register_gpa, uint32_t value);
/* Of 8 bytes: only where there are port instructions (BOOT_PLATFORM_PORTS). */
uint64_t platform_register_read64(uint64_t register_gpa);
void platform_register_write64(uint64_t register_gpa, uint64_t value);

/* Blocks this vCPU until one of the events in `mask` (WAIT_*) is pending; look again after it. */
void platform_wait(uint32_t mask);

/* Makes WAIT_WAKE pending for another vCPU. */
void platform_wake(uint32_t vcpu);

/* Ends the machine; `code` is one of EXIT_*. */
NO_RETURN void platform_exit(uint32_t code);

/* The time stamp counter; boot_info.tsc_khz of its ticks are a millisecond. */
uint64_t platform_ticks(void);

/* The host's first message: what the program is to do. */
struct span platform_first_message(void);

/* For the body of a polling loop. */
void platform_relax(void);

/* Index of the vCPU that runs this. */
uint32_t platform_vcpu(void);

#endif
