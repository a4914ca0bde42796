/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk (VIRTIO 1.2, section 5.2) and instar's private requests (docs/protocol.md).
 *
 * Sectors of the protocol have 512 bytes whatever blk_size says.
 */
#ifndef INSTAR_ABI_VIRTIO_BLK_H
#define INSTAR_ABI_VIRTIO_BLK_H

#include <stdint.h>

#define VIRTIO_BLK_SECTOR_LEN 512ull
#define VIRTIO_BLK_SECTOR_BITS 9u

#define VIRTIO_BLK_F_SIZE_MAX (1ull << 1)
#define VIRTIO_BLK_F_SEG_MAX (1ull << 2)
#define VIRTIO_BLK_F_RO (1ull << 5)
#define VIRTIO_BLK_F_BLK_SIZE (1ull << 6)
#define VIRTIO_BLK_F_FLUSH (1ull << 9)
#define VIRTIO_BLK_F_TOPOLOGY (1ull << 10)
#define VIRTIO_BLK_F_MQ (1ull << 12)
#define VIRTIO_BLK_F_DISCARD (1ull << 13)
#define VIRTIO_BLK_F_WRITE_ZEROES (1ull << 14)
/* Private requests and the private part of the configuration; a device-type bit (50 to 127, section 6). */
#define VIRTIO_BLK_F_INSTAR (1ull << 56)

#define VIRTIO_BLK_T_IN 0u
#define VIRTIO_BLK_T_OUT 1u
#define VIRTIO_BLK_T_FLUSH 4u
#define VIRTIO_BLK_T_GET_ID 8u
#define VIRTIO_BLK_T_DISCARD 11u
#define VIRTIO_BLK_T_WRITE_ZEROES 13u
/* Private, with VIRTIO_BLK_F_INSTAR: the data and hole ranges of the device's file. */
#define VIRTIO_BLK_T_INSTAR_EXTENTS 0x49530001u
/* Gives the device's file another length; only with VIRTIO_BLK_INSTAR_RESIZABLE. */
#define VIRTIO_BLK_T_INSTAR_SET_LEN 0x49530002u
/* Moves bytes from another device of the machine to this one, without the guest. */
#define VIRTIO_BLK_T_INSTAR_COPY 0x49530003u
/* Which units of a range are all zeros; only with VIRTIO_BLK_INSTAR_FINDS_ZEROS. */
#define VIRTIO_BLK_T_INSTAR_FIND_ZEROS 0x49530004u

#define VIRTIO_BLK_S_OK 0
#define VIRTIO_BLK_S_IOERR 1
#define VIRTIO_BLK_S_UNSUPP 2

#define VIRTIO_BLK_ID_LEN 20u
#define VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP 1u

struct virtio_blk_config {
    uint64_t capacity; /* 512-byte sectors */
    uint32_t size_max; /* bytes in a segment */
    uint32_t seg_max;  /* segments in a request */
    struct {
        uint16_t cylinders;
        uint8_t heads;
        uint8_t sectors;
    } geometry;
    uint32_t blk_size; /* bytes */
    struct {
        uint8_t physical_block_exp;
        uint8_t alignment_offset;
        uint16_t min_io_size; /* blocks */
        uint32_t opt_io_size; /* blocks */
    } topology;
    uint8_t writeback;
    uint8_t unused0;
    uint16_t num_queues;
    uint32_t max_discard_sectors; /* 512-byte sectors, as the five below */
    uint32_t max_discard_seg;
    uint32_t discard_sector_alignment;
    uint32_t max_write_zeroes_sectors;
    uint32_t max_write_zeroes_seg;
    uint8_t write_zeroes_may_unmap;
    uint8_t unused1[3];
    uint32_t max_secure_erase_sectors;
    uint32_t max_secure_erase_seg;
    uint32_t secure_erase_sector_alignment;
} __attribute__((packed));

_Static_assert(sizeof(struct virtio_blk_config) == 72, "the configuration of section 5.2.4");

/* The private configuration, valid with VIRTIO_BLK_F_INSTAR; its offset leaves virtio room to grow. */
#define VIRTIO_BLK_INSTAR_CONFIG_OFF 0x100u

/* Whatever was not written since the device was attached reads as zeros: zeros need not be written. */
#define VIRTIO_BLK_INSTAR_ZEROED 0x1u
/* SET_LEN works: the file is the job's own. */
#define VIRTIO_BLK_INSTAR_RESIZABLE 0x2u
/* COPY works with this device as its target. */
#define VIRTIO_BLK_INSTAR_COPY_TARGET 0x4u
/* FIND_ZEROS works. */
#define VIRTIO_BLK_INSTAR_FINDS_ZEROS 0x8u

struct virtio_blk_instar_config {
    uint64_t file_len; /* bytes; the last sector may be partial: its rest reads as zero, and is not written */
    uint32_t flags;    /* VIRTIO_BLK_INSTAR_* */
    uint32_t reserved;
    uint64_t allocated_len; /* bytes of storage that the file took when it was attached; UINT64_MAX: unknown */
};

/* First part of every request, read by the device; the last is one status byte, written by it. */
struct virtio_blk_request_header {
    uint32_t type;
    uint32_t argument; /* of private requests; otherwise 0 */
    uint64_t sector;   /* 512-byte sectors */
};

/* Data of DISCARD and WRITE_ZEROES: an array of these. */
struct virtio_blk_range {
    uint64_t sector;
    uint32_t num_sectors;
    uint32_t flags; /* VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP, for WRITE_ZEROES only */
};

/*
 * Data of EXTENTS, written by the device: a head, then head.count extents that follow each other without a
 * gap, the first one at the request's sector. They need not reach the end of the device: ask again from the
 * end of the last one. One extent at least, unless the request's sector is at the end of the file.
 */
struct virtio_blk_extents_head {
    uint32_t count;
    uint32_t reserved;
};

enum virtio_blk_extent_kind {
    VIRTIO_BLK_EXTENT_DATA = 1,
    VIRTIO_BLK_EXTENT_HOLE = 2, /* reads as zero, nothing is stored */
};

struct virtio_blk_extent {
    uint64_t off; /* bytes from the start of the device */
    uint64_t len; /* bytes, never 0 */
    uint32_t kind;
    uint32_t reserved;
};

/*
 * FIND_ZEROS is about as many units as the header's argument says, of 2^unit_bits bytes each, the first one at the
 * header's sector; all lie within the file. Its data, written by the device, is a bit for each, the lowest of the first
 * byte first: 1 when all bytes of the unit are zeros. What cannot be read counts as not zero: who reads it learns why.
 */
#define VIRTIO_BLK_ZEROS_ARGUMENT(unit_bits, unit_count) ((uint32_t)(unit_bits) << 24 | (uint32_t)(unit_count))
#define VIRTIO_BLK_ZEROS_UNIT_BITS(argument) ((argument) >> 24)
#define VIRTIO_BLK_ZEROS_UNIT_COUNT(argument) ((argument)&0xffffffu)
#define VIRTIO_BLK_ZEROS_UNIT_BITS_MIN 12u
#define VIRTIO_BLK_ZEROS_UNIT_BITS_MAX 24u
#define VIRTIO_BLK_ZEROS_UNIT_COUNT_MAX 4096u
/* The most that one FIND_ZEROS looks at: bounds the time that it takes. */
#define VIRTIO_BLK_ZEROS_LEN_MAX (64ull << 20)

/*
 * Data of SET_LEN. What is cut off is gone; what is added reads as zeros, and counts as never written. When the request
 * is answered, file_len and the capacity in the configuration are the new ones, and config_generation has changed
 * (4.2.2.1). While the two change it is odd: a driver waits for an even one, and reads again when it was another one
 * before. Requests under way in other queues are executed before the change or after it.
 */
struct virtio_blk_set_len {
    uint64_t len; /* bytes */
};

/* The most that one COPY moves: bounds the time that it takes. */
#define VIRTIO_BLK_COPY_LEN_MAX (256ull << 20)
/*
 * Looks for zeros, in runs of zero_len bytes and more, and does not store them: the target's storage for them is given
 * up, if it has any. Runs are found in whole blocks of 4 KiB of the target; a shorter run may be stored or not. Where
 * the host can share storage between the two files it does that instead, zeros included: it is cheaper than looking.
 */
#define VIRTIO_BLK_COPY_DETECT_ZEROS 0x1u

/*
 * Data of COPY, on the target's device, which has VIRTIO_BLK_INSTAR_COPY_TARGET. Both ranges lie within their devices'
 * files, exactly; nothing needs to be aligned. The device to copy from is any disk of the same machine, or this one if
 * the ranges do not overlap; it need not be known to a driver. The host may share storage between the files, if that is
 * the same to everybody. Other requests for the target's range wait for the answer, or get either content. After a
 * failure the range may have any content. What COPY writes and shares counts for the job's limit of output.
 */
struct virtio_blk_copy {
    uint32_t source_device; /* index in the machine */
    uint32_t flags;         /* VIRTIO_BLK_COPY_* */
    uint64_t source_off;    /* bytes */
    uint64_t target_off;    /* bytes */
    uint64_t len;           /* bytes, 1 to VIRTIO_BLK_COPY_LEN_MAX */
    uint32_t zero_len;      /* bytes, a multiple of 512 and not 0, with DETECT_ZEROS; 0 without */
    uint32_t reserved;
};

_Static_assert(sizeof(struct virtio_blk_request_header) == 16, "the request header of section 5.2.6");
_Static_assert(sizeof(struct virtio_blk_range) == 16, "the range of section 5.2.6");
_Static_assert(sizeof(struct virtio_blk_extent) == 24, "no padding");
_Static_assert(sizeof(struct virtio_blk_copy) == 40, "no padding");

#endif
