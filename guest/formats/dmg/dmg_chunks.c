/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/dmg/dmg_chunks.h"

#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "guest/formats/dmg/dmg_trailer.h"

struct table_disk {
    uint8_t magic[4]; /* "mish" */
    struct be32 version;
    struct be64 first_sector;
    struct be64 sector_count;
    struct be64 data_off;
    uint8_t other[DMG_TABLE_HEAD_LEN - 32]; /* QEMU goes by the length and not by the number of entries, and so do we */
};
_Static_assert(sizeof(struct table_disk) == DMG_TABLE_HEAD_LEN, "as in the file");

struct entry_disk {
    struct be32 type;
    struct be32 comment;
    struct be64 sector; /* from the table's first one */
    struct be64 sector_count;
    struct be64 off; /* from the table's */
    struct be64 len;
};
_Static_assert(sizeof(struct entry_disk) == DMG_TABLE_ENTRY_LEN, "as in the file");

bool dmg_chunk_is_compressed(uint32_t type)
{
    return type >= DMG_CHUNK_ADC && type <= DMG_CHUNK_LZMA;
}

void dmg_chunks_begin(struct dmg_chunks *chunks)
{
    chunks->taken_len = 0;
    chunks->has_head = false;
    chunks->is_other = false;
}

static bool take_head(struct dmg_chunks *chunks, struct error *error)
{
    struct table_disk head;
    memcpy(&head, chunks->bytes, sizeof(head));
    chunks->has_head = true;
    chunks->is_other = memcmp(head.magic, "mish", 4) != 0;
    chunks->first_sector = be64_get(head.first_sector);
    if (!chunks->is_other && !checked_add(chunks->data_off, be64_get(head.data_off), &chunks->table_off)) {
        return error_set(error, ERROR_MALFORMED, NULL, "the data offset of a chunk table is too large (0x%llx)",
                         (unsigned long long)be64_get(head.data_off));
    }
    return true;
}

/* Its bounds, in QEMU's order and words where it has some. */
static bool check_chunk(const struct dmg_chunk *chunk, uint64_t len, uint32_t index, struct error *error)
{
    bool is_stored = chunk->type == DMG_CHUNK_RAW || dmg_chunk_is_compressed(chunk->type);
    uint64_t end;
    if (is_stored && chunk->sector_count > DMG_CHUNK_LEN_MAX / DMG_SECTOR_LEN) {
        return error_set(error, ERROR_MALFORMED, NULL, "sector count %llu for chunk %u is larger than max (%u)",
                         (unsigned long long)chunk->sector_count, index, DMG_CHUNK_LEN_MAX / DMG_SECTOR_LEN);
    }
    if (len > DMG_CHUNK_LEN_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "length %llu for chunk %u is larger than max (%u)",
                         (unsigned long long)len, index, DMG_CHUNK_LEN_MAX);
    }
    if (!checked_add(chunk->sector, chunk->sector_count, &end) || end > UINT64_MAX / DMG_SECTOR_LEN) {
        return error_set(error, ERROR_MALFORMED, NULL, "chunk %u ends behind all disks", index);
    }
    return true;
}

/* One with sectors. */
static bool add_chunk(struct dmg_chunks *chunks, const struct dmg_chunk *chunk, struct error *error)
{
    if (chunks->count == (chunks->chunks == NULL ? DMG_CHUNK_COUNT_MAX : chunks->room)) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "the image has more than %u chunks", chunks->count);
    }
    if (chunk->sector < chunks->end_sector && !chunks->is_disordered) {
        chunks->is_disordered = true;
        chunks->disordered_index = chunks->index;
    }
    chunks->end_sector = max_u64(chunks->end_sector, chunk->sector + chunk->sector_count);
    if (chunks->chunks != NULL) {
        chunks->chunks[chunks->count] = *chunk;
    }
    chunks->count++;
    return true;
}

static bool take_entry(struct dmg_chunks *chunks, struct error *error)
{
    struct entry_disk entry;
    memcpy(&entry, chunks->bytes, sizeof(entry));
    uint64_t len = be64_get(entry.len);
    struct dmg_chunk chunk = {.type = be32_get(entry.type), .sector_count = be64_get(entry.sector_count)};
    if (chunk.type == DMG_CHUNK_COMMENT || chunk.type == DMG_CHUNK_END) {
        return true;
    }
    if (!checked_add(chunks->first_sector, be64_get(entry.sector), &chunk.sector) ||
        !checked_add(chunks->table_off, be64_get(entry.off), &chunk.off)) {
        return error_set(error, ERROR_MALFORMED, NULL, "the sector or the offset of chunk %u is too large",
                         chunks->index);
    }
    if (chunk.type > DMG_CHUNK_IGNORE && !dmg_chunk_is_compressed(chunk.type)) {
        len = 0; /* unknown: who reads it is told */
    }
    RETURN_IF_FAILED(check_chunk(&chunk, len, chunks->index, error));
    chunk.len = (uint32_t)len;
    RETURN_IF_FAILED(chunk.sector_count == 0 || add_chunk(chunks, &chunk, error));
    chunks->index++;
    return true;
}

bool dmg_chunks_feed(struct dmg_chunks *chunks, struct span bytes, struct error *error)
{
    while (bytes.len > 0 && !chunks->is_other) { /* ends: each round takes some */
        uint32_t want_len = chunks->has_head ? DMG_TABLE_ENTRY_LEN : DMG_TABLE_HEAD_LEN;
        size_t len = (size_t)min_u64(want_len - chunks->taken_len, bytes.len);
        memcpy(chunks->bytes + chunks->taken_len, bytes.data, len);
        bytes = (struct span){bytes.data + len, bytes.len - len};
        chunks->taken_len += (uint32_t)len;
        if (chunks->taken_len == want_len) {
            chunks->taken_len = 0;
            RETURN_IF_FAILED(chunks->has_head ? take_entry(chunks, error) : take_head(chunks, error));
        }
    }
    return true;
}

bool dmg_chunks_keep(struct dmg_chunks *chunks, struct arena *arena, struct error *error)
{
    uint32_t room = (uint32_t)max_u64(chunks->count, 1);
    struct dmg_chunk *kept =
        arena_allocate(arena, (uint64_t)room * sizeof(struct dmg_chunk), _Alignof(struct dmg_chunk));
    if (kept == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for a table of %u chunks", chunks->count);
    }
    *chunks = (struct dmg_chunks){.data_off = chunks->data_off, .chunks = kept, .room = room};
    return true;
}

static bool has_sector(const struct dmg_chunk *chunk, uint64_t sector)
{
    return chunk->sector <= sector && sector - chunk->sector < chunk->sector_count;
}

const struct dmg_chunk *dmg_chunks_find(const struct dmg_chunks *chunks, uint64_t sector, uint32_t hint)
{
    for (uint32_t i = hint; i < chunks->count && i < hint + 2; i++) {
        if (has_sector(&chunks->chunks[i], sector)) {
            return &chunks->chunks[i];
        }
    }
    uint32_t low = 0;
    uint32_t high = chunks->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct dmg_chunk *chunk = &chunks->chunks[middle];
        if (has_sector(chunk, sector)) {
            return chunk;
        }
        if (chunk->sector > sector) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}
