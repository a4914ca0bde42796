/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport custom-mmio: a device with a page of registers and two buffers (data-transfer-other, "Custom MMIO
 * Device"). Registers up to the doorbell, commands and states are that document's.
 *
 *   window 0  the data buffer, LAYOUT_WINDOW_DATA_GPA: what WRITE_CHUNK takes
 *   window 1  the result buffer, LAYOUT_WINDOW_RESULT_GPA, read-only to the guest: what READ_CHUNK gives
 *
 * Loads from registers are loads from memory. Stores to all but the doorbell are coalesced, and are known to the device
 * when the doorbell rings, which is an ioeventfd: a command causes no exit.
 *
 * The document's list has no offset, although its chunks are at one, and a status that still says COMPLETE for the last
 * command cannot be told from one that says so for this. Two registers more serve these ends: `offset`, and
 * `completed`, which counts commands that have ended, wrapping around. Result and status are valid when it has changed.
 */
#ifndef INSTAR_ABI_TRANSPORTS_CUSTOM_MMIO_H
#define INSTAR_ABI_TRANSPORTS_CUSTOM_MMIO_H

/* Offsets in the page of registers; those of 8 bytes are stored by one instruction. */
#define CUSTOM_MMIO_COMMAND 0x00u       /* 4 bytes, written */
#define CUSTOM_MMIO_STATUS 0x04u        /* 4 bytes, read */
#define CUSTOM_MMIO_DATA_GPA 0x08u      /* 8 bytes, written: in the data buffer */
#define CUSTOM_MMIO_DATA_LENGTH 0x10u   /* 8 bytes, written: bytes to transfer, in either direction */
#define CUSTOM_MMIO_RESULT_GPA 0x18u    /* 8 bytes, written: in the result buffer */
#define CUSTOM_MMIO_RESULT_LENGTH 0x20u /* 8 bytes, read: bytes transferred; GET_SIZE: the length of the input */
#define CUSTOM_MMIO_DOORBELL 0x28u      /* 4 bytes, written: 1 */
#define CUSTOM_MMIO_OFFSET 0x30u        /* 8 bytes, written: bytes from the start of the file */
#define CUSTOM_MMIO_COMPLETED 0x38u     /* 4 bytes, read */

#define CUSTOM_MMIO_RING 1u

/* Of each buffer; a chunk is no longer. */
#define CUSTOM_MMIO_BUFFER_LEN 0x400000ull

enum custom_mmio_command {
    CUSTOM_MMIO_READ_CHUNK = 0x01,
    CUSTOM_MMIO_WRITE_CHUNK = 0x02,
    CUSTOM_MMIO_GET_SIZE = 0x03,
    CUSTOM_MMIO_FLUSH = 0x04,
};

enum custom_mmio_status {
    CUSTOM_MMIO_IDLE = 0x00,
    CUSTOM_MMIO_BUSY = 0x01,
    CUSTOM_MMIO_COMPLETE = 0x02,
    CUSTOM_MMIO_ERROR = 0x03, /* the file could not be read or written */
};

#endif
