/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's I/O ports.
 *
 * The serial ports stand where a PC has them, but carry bytes without a line: no baud rate, no FIFO
 * control. A data port takes writes of 1, 2 or 4 bytes, least significant byte first, so that a message
 * needs a quarter of the port writes; writes are coalesced by the kernel and cost no exit each. Reads are
 * string reads (rep insb): one exit brings up to 1 KiB.
 */
#ifndef INSTAR_ABI_PORTS_H
#define INSTAR_ABI_PORTS_H

/* COM1: messages, in both directions (docs/protocol.md). */
#define PORT_MESSAGE_DATA 0x3f8u
/* COM1's line status register: bit 0 is set while there is input to read, bits 5 and 6 always. */
#define PORT_MESSAGE_STATUS 0x3fdu
/* COM2: debug text, guest to host only. */
#define PORT_DEBUG_DATA 0x2f8u
#define PORT_DEBUG_STATUS 0x2fdu
/* Bytes that one data port spans: a 4-byte write may start at the port's own number only. */
#define PORT_DATA_SPAN 4u

#define PORT_STATUS_INPUT_READY 0x01u
#define PORT_STATUS_OUTPUT_EMPTY 0x60u

/* Progress of the direct transport, and ports of the pio transport (abi/transports). */
#define PORT_PROGRESS 0x80u
#define PORT_TRANSPORT 0x600u

/*
 * Control ports, 4-byte writes.
 *
 * WAIT blocks the vCPU until one of the events in the written mask is pending for it, clears these events
 * and returns. Events are latched: one signalled between the guest's last look and its wait ends the wait
 * at once. The guest looks again after every wait; a wait may end for an event that it has already seen.
 */
#define PORT_WAIT 0x510u
#define WAIT_COMPLETION 0x1u /* some device used a buffer, or changed its configuration */
#define WAIT_WAKE 0x2u       /* another vCPU wrote this one's index to PORT_WAKE */
#define WAIT_INPUT 0x4u      /* a message has come on COM1 */
#define WAIT_TICK 0x8u       /* WAIT_TICK_MS have passed since the wait began; never pending before it */
#define WAIT_EVENTS (WAIT_COMPLETION | WAIT_WAKE | WAIT_INPUT | WAIT_TICK)
#define WAIT_TICK_MS 10u

/* WAKE makes WAIT_WAKE pending for the vCPU whose index is written. */
#define PORT_WAKE 0x514u

/* EXIT ends the machine; the value says how. Nothing after it is executed, on any vCPU. */
#define PORT_EXIT 0x518u
#define EXIT_FINISHED 0u /* the last message told the result */
#define EXIT_PANIC 1u    /* the program cannot go on; COM2's last line says why */

#endif
