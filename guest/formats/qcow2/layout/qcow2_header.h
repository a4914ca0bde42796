/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of a qcow2 image (QEMU's docs/interop/qcow2.txt, "Header"): bytes in, checked numbers out. No I/O, no
 * memory.
 *
 * Checking has two steps, as what an unknown feature is called stands in an extension (qcow2_extensions.h), which lies
 * behind the header: parse, then the extensions where there is such a feature, then check. So that a damaged header is
 * refused for the same reason as by QEMU, the checks are made in its order.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_LAYOUT_QCOW2_HEADER_H
#define INSTAR_GUEST_FORMATS_QCOW2_LAYOUT_QCOW2_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"

#define QCOW2_MAGIC 0x514649fbu

#define QCOW2_INCOMPATIBLE_DIRTY (1ull << 0)
#define QCOW2_INCOMPATIBLE_CORRUPT (1ull << 1)
#define QCOW2_INCOMPATIBLE_DATA_FILE (1ull << 2)
#define QCOW2_INCOMPATIBLE_COMPRESSION (1ull << 3)
#define QCOW2_INCOMPATIBLE_EXTENDED_L2 (1ull << 4)
#define QCOW2_INCOMPATIBLE_KNOWN 0x1full
/*
 * Ours, and the last one there is: the image is a part of one, which QEMU and whoever does not join parts refuses by
 * this feature's name.
 */
#define QCOW2_INCOMPATIBLE_SHARD_BIT 63u
#define QCOW2_INCOMPATIBLE_SHARD (1ull << QCOW2_INCOMPATIBLE_SHARD_BIT)
#define QCOW2_COMPATIBLE_LAZY_REFCOUNTS (1ull << 0)
#define QCOW2_AUTOCLEAR_BITMAPS (1ull << 0)
#define QCOW2_AUTOCLEAR_DATA_FILE_RAW (1ull << 1)
#define QCOW2_AUTOCLEAR_KNOWN (QCOW2_AUTOCLEAR_BITMAPS | QCOW2_AUTOCLEAR_DATA_FILE_RAW)

enum qcow2_crypt_method {
    QCOW2_CRYPT_NONE = 0,
    QCOW2_CRYPT_AES = 1,
    QCOW2_CRYPT_LUKS = 2,
};

enum qcow2_compression_type {
    QCOW2_COMPRESSION_DEFLATE = 0, /* "zlib" to users: raw streams (RFC 1951) */
    QCOW2_COMPRESSION_ZSTD = 1,
};

/* Limits of QEMU: whatever it writes is within them, and the tables of an image stay bounded. */
#define QCOW2_CLUSTER_BITS_MIN 9u
#define QCOW2_CLUSTER_BITS_MAX 21u
/* With extended L2 entries, a cluster has as many subclusters, each a sector at least. */
#define QCOW2_SUBCLUSTER_COUNT 32u
#define QCOW2_SUBCLUSTER_LEN_MIN 512u
#define QCOW2_L1_LEN_MAX (32ull << 20)
#define QCOW2_REFCOUNT_TABLE_LEN_MAX (8ull << 20)
#define QCOW2_SNAPSHOT_COUNT_MAX 65536u
#define QCOW2_BACKING_NAME_LEN_MAX 1023u
/* Of a disk, and of any file: what lies behind it cannot be read. */
#define QCOW2_LEN_MAX (INT64_MAX & ~((1ull << 30) - 1))

/* Bytes of a file that qcow2_header_parse looks at; a file that ends earlier has zeros there. */
#define QCOW2_HEADER_READ_LEN 112u

/* All offsets are bytes of the image file. */
struct qcow2_header {
    uint32_t version;            /* 2 or 3 */
    uint32_t cluster_bits;       /* 9 to 21 */
    uint32_t cluster_len;        /* bytes: 1 << cluster_bits */
    uint64_t size;               /* bytes of the virtual disk, as it stands there: not always whole sectors */
    uint32_t crypt_method;       /* enum qcow2_crypt_method, after qcow2_header_check */
    uint64_t backing_name_off;   /* 0: no backing file; within the first cluster, or at its end */
    uint32_t backing_name_len;   /* bytes, not checked here */
    uint64_t l1_off;             /* a multiple of cluster_len */
    uint32_t l1_entry_count;     /* enough for the disk; more for the state of a virtual machine */
    uint64_t refcount_table_off; /* a multiple of cluster_len */
    uint32_t refcount_table_clusters;
    uint64_t snapshots_off; /* a multiple of cluster_len; checked unless the image is opened to be checked */
    uint32_t snapshot_count;
    uint64_t incompatible_features; /* QCOW2_INCOMPATIBLE_*, and unknown ones until they are refused */
    uint64_t compatible_features;
    uint64_t autoclear_features;
    uint32_t refcount_order;  /* 0 to 6: a reference count has 1 << refcount_order bits */
    uint32_t header_len;      /* bytes: where extensions begin */
    uint8_t compression_type; /* enum qcow2_compression_type; fits the feature bit */
};

/* Whether `head`, a file's first bytes, begins a qcow2 image of any version from 2 on. */
bool qcow2_header_probe(struct span head);

/*
 * The header in `bytes`, the first QCOW2_HEADER_READ_LEN bytes of the file. Version, cluster size, length of the
 * header, where the backing file's name is, and the type of compression are checked.
 */
MUST_CHECK bool qcow2_header_parse(struct span bytes, struct qcow2_header *ret_header, struct error *error);

/*
 * Checks the rest: tables and sizes. `is_for_check`: an image without a refcount table, or with a wrong snapshot
 * table, is not refused, as its check is to tell about that.
 */
MUST_CHECK bool qcow2_header_check(const struct qcow2_header *header, bool is_for_check, struct error *error);

/*
 * A table of `entry_count` entries of `entry_len` bytes at `off`, called `name` in errors: is at a cluster's start,
 * has table_len_max bytes at most, and its end is an offset.
 */
MUST_CHECK bool qcow2_table_check(const struct qcow2_header *header, uint64_t off, uint64_t entry_count,
                                  uint64_t entry_len, uint64_t table_len_max, const char *name, struct error *error);

/* Bytes that the header's refcount table and L1 table have. */
uint64_t qcow2_refcount_table_len(const struct qcow2_header *header);
uint64_t qcow2_l1_len(const struct qcow2_header *header);

static inline bool qcow2_has_extended_l2(const struct qcow2_header *header)
{
    return (header->incompatible_features & QCOW2_INCOMPATIBLE_EXTENDED_L2) != 0;
}

static inline bool qcow2_has_data_file(const struct qcow2_header *header)
{
    return (header->incompatible_features & QCOW2_INCOMPATIBLE_DATA_FILE) != 0;
}

/* Bytes of an entry of an L2 table. */
static inline uint32_t qcow2_l2_entry_len(const struct qcow2_header *header)
{
    return qcow2_has_extended_l2(header) ? 16 : 8;
}

/* Entries of an L2 table, which is one cluster: 1 << qcow2_l2_bits(header). */
static inline uint32_t qcow2_l2_bits(const struct qcow2_header *header)
{
    return header->cluster_bits - (qcow2_has_extended_l2(header) ? 4 : 3);
}

#endif
