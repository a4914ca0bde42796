/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport ivshmem: two machines run the same program (data-transfer-other, "Shared Memory (ivshmem)"). The reader
 * (BOOT_TRANSPORT_READER) has the input as its virtio-blk disk, the writer has the output as its own. They share
 * nothing but
 *
 *   window 0  the reader's part, LAYOUT_WINDOW_DATA_GPA: struct ivshmem_reader, from IVSHMEM_SLOTS_OFF on the slots;
 *             read-only to the writer
 *   window 1  the writer's part, LAYOUT_WINDOW_RESULT_GPA: struct ivshmem_writer; read-only to the reader
 *
 * and a device in each by which it rings for the other. Neither trusts the other one: all that is read of the other's
 * part is read once, and checked.
 *
 * Slots are filled and emptied in turn. `position` counts those that the reader has filled, or the writer has emptied,
 * since the start; slot number n has the place n % IVSHMEM_SLOT_COUNT.
 */
#ifndef INSTAR_ABI_TRANSPORTS_IVSHMEM_H
#define INSTAR_ABI_TRANSPORTS_IVSHMEM_H

#include <stdint.h>

/*
 * The device's registers, 4 bytes each, as the ivshmem device specification has them ("Device registers"). Its
 * interrupts have vectors, so that mask and status, which belong to the one that has none, are 0. Where the
 * specification has a device ignore what it cannot do, a store to another register than the doorbell, or a ring for a
 * machine or a vector that does not exist, ends the machine.
 */
#define IVSHMEM_INTERRUPT_MASK 0x0u
#define IVSHMEM_INTERRUPT_STATUS 0x4u
#define IVSHMEM_POSITION 0x8u /* read: the machine's own identifier */
#define IVSHMEM_DOORBELL 0xcu /* written: IVSHMEM_RING */

/* Wakes the machine `identifier` (WAIT_COMPLETION). */
#define IVSHMEM_RING(identifier, vector) ((uint32_t)(identifier) << 16 | (uint32_t)(vector))

#define IVSHMEM_READER_ID 0u
#define IVSHMEM_WRITER_ID 1u
#define IVSHMEM_VECTOR 0u /* the only one */

#define IVSHMEM_SLOT_LEN 0x100000ull
#define IVSHMEM_SLOT_COUNT 16u
/* Slots lie on huge pages. */
#define IVSHMEM_SLOTS_OFF 0x200000ull
#define IVSHMEM_READER_LEN (IVSHMEM_SLOTS_OFF + IVSHMEM_SLOT_COUNT * IVSHMEM_SLOT_LEN)
#define IVSHMEM_WRITER_LEN 0x1000ull

enum ivshmem_state {
    IVSHMEM_STARTING = 0,
    IVSHMEM_READY = 1,
    IVSHMEM_FAILED = 2, /* no slot follows; ivshmem_reader says why */
};

/* What both parts begin with. */
struct ivshmem_head {
    uint64_t position; /* slots filled, or emptied */
    uint32_t state;    /* enum ivshmem_state; the writer's is not used */
    uint32_t waits;    /* 1: will sleep, or sleeps, and wants to be rung for when the other's head changes */
    uint32_t echo;     /* the writer's: any number; the reader's: the writer's, when it has seen it */
    uint32_t reserved; /* 0 */
};

#define IVSHMEM_PLACE_LEN 32u
#define IVSHMEM_DETAIL_LEN 192u

struct ivshmem_reader {
    struct ivshmem_head head;
    uint64_t input_len;                     /* bytes; when ready */
    uint32_t slot_lens[IVSHMEM_SLOT_COUNT]; /* bytes in each slot that is filled, 1 to IVSHMEM_SLOT_LEN */
    uint32_t error_kind;                    /* enum error_kind; when failed */
    char error_place[IVSHMEM_PLACE_LEN];    /* ends with zero, like the next */
    char error_detail[IVSHMEM_DETAIL_LEN];
};

struct ivshmem_writer {
    struct ivshmem_head head;
};

_Static_assert(sizeof(struct ivshmem_reader) <= IVSHMEM_SLOTS_OFF, "the slots begin behind what describes them");
_Static_assert(sizeof(struct ivshmem_writer) <= IVSHMEM_WRITER_LEN, "the writer's part fits");

#endif
