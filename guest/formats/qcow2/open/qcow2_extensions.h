/* SPDX-License-Identifier: Apache-2.0 */
/* Header extensions (qcow2.txt, "Header extensions"): what follows the header in the first cluster. */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_EXTENSIONS_H
#define INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_EXTENSIONS_H

#include "base/endian.h"
#include "guest/formats/qcow2/layout/qcow2_header.h"
#include "guest/image/image.h"

/* QEMU's limits. */
#define QCOW2_BACKING_FORMAT_LEN_MAX 15u
#define QCOW2_BITMAP_COUNT_MAX 65535u
#define QCOW2_BITMAP_DIRECTORY_LEN_MAX (1024ull * QCOW2_BITMAP_COUNT_MAX)

enum qcow2_extension_type {
    QCOW2_EXTENSION_END = 0,
    QCOW2_EXTENSION_BACKING_FORMAT = 0xe2792aca,
    QCOW2_EXTENSION_FEATURE_NAMES = 0x6803f857,
    QCOW2_EXTENSION_BITMAPS = 0x23852875,
    QCOW2_EXTENSION_CRYPTO_HEADER = 0x0537be77,
    QCOW2_EXTENSION_DATA_FILE = 0x44415441,
    QCOW2_EXTENSION_SHARD = 0x494e5348, /* ours: "INSH" */
};

/* Each extension begins so; its data are padded to 8 bytes. */
struct qcow2_extension_disk {
    struct be32 type;
    struct be32 len;
};

/* The data of QCOW2_EXTENSION_BITMAPS. */
struct qcow2_bitmaps_extension_disk {
    struct be32 nb_bitmaps;
    struct be32 reserved;
    struct be64 directory_size;
    struct be64 directory_offset;
};

_Static_assert(sizeof(struct qcow2_bitmaps_extension_disk) == 24, "section Bitmaps extension");

/* The data of QCOW2_EXTENSION_SHARD, with QCOW2_INCOMPATIBLE_SHARD (guest/image/shard.h). */
#define QCOW2_SHARD_COMPRESSED (1u << 0)
struct qcow2_shard_disk {
    struct be32 number;
    struct be32 count;
    struct be32 sparse_len;
    struct be32 flags; /* QCOW2_SHARD_*; others: none is set */
    uint8_t source[SHARD_SOURCE_LEN];
};

_Static_assert(sizeof(struct qcow2_shard_disk) == 48, "without gaps");

struct qcow2_extensions {
    char backing_format[QCOW2_BACKING_FORMAT_LEN_MAX + 1]; /* empty: not told */
    struct file_name data_file_name;
    /* Bitmaps; 0 where there are none, or where they are stale (the autoclear bit is not set). */
    uint32_t bitmap_count;
    uint64_t bitmap_directory_off; /* bytes, a multiple of the cluster's length */
    uint64_t bitmap_directory_len;
    bool has_stale_bitmaps;
    /* Of LUKS. */
    bool has_crypto_header;
    uint64_t crypto_header_off; /* bytes, a multiple of the cluster's length */
    uint64_t crypto_header_len;
    bool has_shard;
    struct shard shard; /* checked */
};

/*
 * Reads them. Values are checked, but for the name of a backing format, which is any text. Stale bitmaps are told to
 * the user.
 */
MUST_CHECK bool qcow2_extensions_read(struct image *image, const struct qcow2_header *header,
                                      struct qcow2_extensions *ret_extensions, struct error *error);

/* Refuses an image whose header has incompatible features that are not known; by their names, where it has them. */
MUST_CHECK bool qcow2_features_check(struct image *image, const struct qcow2_header *header, struct error *error);

#endif
