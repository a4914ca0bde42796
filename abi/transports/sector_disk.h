/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transports pipe and ring: a virtio-blk disk that is no image, but memory of the host's with a protocol
 * (data-transfer-virtio-block, "Using for Data Transfer", approaches 1 to 3). It is device 0 of the machine. A write to
 * the guest's control sector is answered when it is done: what the host has to say lies in its own sector then. Numbers
 * are little-endian; a control sector is written whole.
 *
 * pipe (approach 2) has the seed document's regions:
 *
 *   sectors 0 to 1023     input data: the host's, filled by FETCH
 *   sectors 1024 to 2047  output data: the guest's, taken by STORE
 *   sector 2048           control: struct pipe_control, the guest's command and the host's answer to it
 *
 * ring (approach 3, which the document leaves open) has two rings of slots, each a sector of struct ring_slot and
 * behind it data, and counts of slots that only grow; slot n lies at place n % RING_SLOT_COUNT:
 *
 *   sector 0  struct ring_host: the host's, read by the guest
 *   sector 1  struct ring_guest: the guest's; what it frees is filled, and what it fills is stored, when it is written
 *   sector 8  input slots, then the output slots
 *
 * Input slots are full but the last one, and follow each other; output slots say where they belong.
 */
#ifndef INSTAR_ABI_TRANSPORTS_SECTOR_DISK_H
#define INSTAR_ABI_TRANSPORTS_SECTOR_DISK_H

#include <stdint.h>

#define SECTOR_DISK_SECTOR_LEN 512ull

#define PIPE_REGION_LEN (1024 * SECTOR_DISK_SECTOR_LEN)
#define PIPE_INPUT_OFF 0ull
#define PIPE_OUTPUT_OFF PIPE_REGION_LEN
#define PIPE_CONTROL_OFF (2 * PIPE_REGION_LEN)
#define PIPE_DISK_LEN (PIPE_CONTROL_OFF + SECTOR_DISK_SECTOR_LEN)

enum pipe_command {
    PIPE_FETCH = 1, /* [off, off + len) of the input to the front of the input region */
    PIPE_STORE = 2, /* the front of the output region to [off, off + len) of the output */
    PIPE_FLUSH = 3, /* the output, to stable storage */
};

enum sector_disk_status {
    SECTOR_DISK_READY = 0,
    SECTOR_DISK_FAILED = 1, /* a file could not be read or written */
};

struct pipe_control {
    uint32_t command;   /* by the guest: enum pipe_command */
    uint32_t status;    /* by the host: enum sector_disk_status, of the last command */
    uint64_t off;       /* by the guest */
    uint64_t len;       /* by the guest: bytes, up to PIPE_REGION_LEN */
    uint64_t input_len; /* by the host: bytes, exact */
};

#define RING_HOST_OFF 0ull
#define RING_GUEST_OFF SECTOR_DISK_SECTOR_LEN
#define RING_SLOT_COUNT 16ull
#define RING_DATA_LEN 65536ull
#define RING_SLOT_LEN (SECTOR_DISK_SECTOR_LEN + RING_DATA_LEN)
#define RING_INPUT_OFF (8 * SECTOR_DISK_SECTOR_LEN)
#define RING_OUTPUT_OFF (RING_INPUT_OFF + RING_SLOT_COUNT * RING_SLOT_LEN)
#define RING_DISK_LEN (RING_OUTPUT_OFF + RING_SLOT_COUNT * RING_SLOT_LEN)

struct ring_host {
    uint64_t input_len;       /* bytes, exact */
    uint64_t input_produced;  /* slots filled so far */
    uint64_t output_consumed; /* slots stored so far */
    uint32_t status;          /* enum sector_disk_status, for good */
    uint32_t reserved;
};

#define RING_FLUSH 0x1u /* the output, to stable storage, behind what is stored */

struct ring_guest {
    uint64_t input_consumed;  /* slots that may be filled anew */
    uint64_t output_produced; /* slots filled so far */
    uint32_t flags;           /* RING_FLUSH */
    uint32_t reserved;
};

struct ring_slot {
    uint64_t off; /* in the file */
    uint64_t len; /* bytes, 1 to RING_DATA_LEN */
};

#endif
