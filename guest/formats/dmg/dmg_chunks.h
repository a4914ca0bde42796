/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chunks of an image: stretches of the disk, each stored in its own way. Their tables ("mish" blocks) come as
 * bytes, from a property list or a resource fork, and are read twice: to count the chunks, and to keep them.
 */
#ifndef INSTAR_GUEST_FORMATS_DMG_DMG_CHUNKS_H
#define INSTAR_GUEST_FORMATS_DMG_DMG_CHUNKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"
#include "guest/runtime/arena.h"

enum dmg_chunk_type {
    DMG_CHUNK_ZERO = 0,
    DMG_CHUNK_RAW = 1,
    DMG_CHUNK_IGNORE = 2, /* free on the disk that was imaged: zeros, too */
    DMG_CHUNK_COMMENT = 0x7ffffffe,
    DMG_CHUNK_ADC = 0x80000004,
    DMG_CHUNK_ZLIB = 0x80000005,
    DMG_CHUNK_BZIP2 = 0x80000006,
    DMG_CHUNK_LZFSE = 0x80000007,
    DMG_CHUNK_LZMA = 0x80000008,
    DMG_CHUNK_END = 0xffffffff,
};

/* QEMU's bounds of what a chunk is on the disk, if it is stored, and in the file. */
#define DMG_CHUNK_LEN_MAX (64u << 20)

/* As many as fit a property list of 16 MiB, which is QEMU's bound for those. */
#define DMG_CHUNK_COUNT_MAX 320000u
#define DMG_TABLES_LEN_MAX (16u << 20)

struct dmg_chunk {
    uint64_t sector; /* of the disk */
    uint64_t sector_count;
    uint64_t off; /* bytes in the file */
    uint32_t len;
    uint32_t type;
};

#define DMG_TABLE_HEAD_LEN 204u
#define DMG_TABLE_ENTRY_LEN 40u

struct dmg_chunks {
    uint64_t data_off;        /* of the trailer */
    struct dmg_chunk *chunks; /* in the order of the tables; NULL: they are counted */
    uint32_t count;
    uint32_t room;
    uint32_t index;     /* of the next one, as QEMU counts them in its errors */
    bool is_disordered; /* a chunk begins before the end of the one before it: */
    uint32_t disordered_index;
    uint64_t end_sector; /* of the last one */
    /* The table that is coming. */
    uint64_t first_sector;
    uint64_t table_off;
    uint32_t taken_len; /* of the head, or of an entry */
    bool has_head;
    bool is_other; /* it is no table */
    uint8_t bytes[DMG_TABLE_HEAD_LEN];
};

/* A table begins. */
void dmg_chunks_begin(struct dmg_chunks *chunks);

/* More bytes of it, as many as there are. What is no table is passed over. */
MUST_CHECK bool dmg_chunks_feed(struct dmg_chunks *chunks, struct span bytes, struct error *error);

/* Counting has ended: makes room for what was counted, and begins anew. */
MUST_CHECK bool dmg_chunks_keep(struct dmg_chunks *chunks, struct arena *arena, struct error *error);

/* The chunk that has the sector; NULL: none has. `hint`: where to look first, an index. In order only. */
const struct dmg_chunk *dmg_chunks_find(const struct dmg_chunks *chunks, uint64_t sector, uint32_t hint);

/* Whether the type is stored compressed. */
bool dmg_chunk_is_compressed(uint32_t type);

#endif
