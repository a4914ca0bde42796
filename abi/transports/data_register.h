/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transports pio and mmio: data through one port, or one device register, word by word (data-transfer-other, "Port
 * I/O" and "Memory-Mapped I/O").
 *
 *   register  port           address (page of registers)  access
 *   command   0x600          +0x00                        4 bytes, written: enum data_command
 *   argument  0x604          +0x08                        pio: 4 bytes, the low half first; mmio: 8 bytes; written
 *   data      0x608          +0x10                        pio: 1, 2, 4 bytes, also string instructions; mmio: 1 to 8
 *   status    0x60c          +0x18                        4 bytes, read: DATA_STATUS_*
 *
 * The argument belongs to the next command. READ and WRITE start at the offset that it says; what is then read from the
 * data register, or written to it, are the bytes from there on, lowest first. FINISH stores what was written; READ,
 * WRITE and FLUSH do the same first. With the variant PIO_VARIANT_STRING, writes to the data port are coalesced.
 *
 * A file that cannot be read or written makes the status DATA_STATUS_FAILED, for good; what is read is then zero.
 */
#ifndef INSTAR_ABI_TRANSPORTS_DATA_REGISTER_H
#define INSTAR_ABI_TRANSPORTS_DATA_REGISTER_H

#include "abi/ports.h"

#define PIO_VARIANT_SINGLE 0u
#define PIO_VARIANT_STRING 1u

#define PIO_PORT_COMMAND (PORT_TRANSPORT + 0x0u)
#define PIO_PORT_ARGUMENT (PORT_TRANSPORT + 0x4u)
#define PIO_PORT_DATA (PORT_TRANSPORT + 0x8u)
#define PIO_PORT_STATUS (PORT_TRANSPORT + 0xcu)

#define MMIO_REGISTER_COMMAND 0x00u
#define MMIO_REGISTER_ARGUMENT 0x08u
#define MMIO_REGISTER_DATA 0x10u
#define MMIO_REGISTER_STATUS 0x18u

enum data_command {
    DATA_COMMAND_SIZE = 1,   /* the next 8 bytes read are the input's length */
    DATA_COMMAND_READ = 2,   /* from this offset of the input */
    DATA_COMMAND_WRITE = 3,  /* to this offset of the output */
    DATA_COMMAND_FLUSH = 4,  /* to stable storage */
    DATA_COMMAND_FINISH = 5, /* stores what was written */
};

#define DATA_STATUS_OK 0u
#define DATA_STATUS_FAILED 1u

#endif
