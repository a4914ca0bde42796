/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueues (VIRTIO 1.2, section 2.7). Little-endian, which is the byte order of both sides.
 *
 * Who writes what: the driver writes descriptors and the available ring (and used_event in it); the device
 * writes the used ring (and avail_event in it).
 */
#ifndef INSTAR_ABI_VIRTIO_RING_H
#define INSTAR_ABI_VIRTIO_RING_H

#include <stdint.h>

#define VIRTQ_DESC_F_NEXT 1u
#define VIRTQ_DESC_F_WRITE 2u /* the device writes this buffer; without it, the device reads it */
#define VIRTQ_DESC_F_INDIRECT 4u
#define VIRTQ_AVAIL_F_NO_INTERRUPT 1u
#define VIRTQ_USED_F_NO_NOTIFY 1u

/* Alignment of the three parts in bytes (2.7). */
#define VIRTQ_DESC_ALIGN 16u
#define VIRTQ_AVAIL_ALIGN 2u
#define VIRTQ_USED_ALIGN 4u

struct virtq_desc {
    uint64_t addr; /* guest-physical */
    uint32_t len;  /* bytes */
    uint16_t flags;
    uint16_t next;
};

struct virtq_used_elem {
    uint32_t id;  /* head of the descriptor chain */
    uint32_t len; /* bytes that the device wrote */
};

struct virtq_avail {
    uint16_t flags;
    uint16_t idx;
    uint16_t ring[]; /* size entries, then used_event */
};

struct virtq_used {
    uint16_t flags;
    uint16_t idx;
    struct virtq_used_elem ring[]; /* size entries, then avail_event */
};

_Static_assert(sizeof(struct virtq_desc) == 16, "a descriptor has 16 bytes");
_Static_assert(sizeof(struct virtq_used_elem) == 8, "a used element has 8 bytes");

/* Bytes of the three parts of a queue of `size` descriptors, with their event index. */
#define VIRTQ_DESC_LEN(size) (16ull * (size))
#define VIRTQ_AVAIL_LEN(size) (6ull + 2ull * (size))
#define VIRTQ_USED_LEN(size) (6ull + 8ull * (size))

/* A queue may have this many descriptors at most (2.7): the largest power of two in 16 bits. */
#define VIRTQ_SIZE_MAX 32768u

/*
 * Whether the index moving from `before` to `now` passed `event` (2.7.10): the other side asked to be told
 * when the index exceeds `event`. All arithmetic is modulo 2^16.
 */
static inline int virtq_event_passed(uint16_t event, uint16_t now, uint16_t before)
{
    return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

#endif
