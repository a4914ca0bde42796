/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "guest/codecs/deflate.h"
#include "guest/formats/vmdk/vmdk_grain.h"
#include "guest/formats/vmdk/vmdk_sparse_header.h"
#include "guest/formats/vmdk/vmdk_writer.h"
#include "guest/image/write/block_writer.h"

#define VERSION_STREAM 3u
/* Before the first grain, as VMware's programs have it. */
#define OVERHEAD_SECTORS 128u
/* What is written at once; a multiple of a sector. */
#define BUFFER_LEN (256u << 10)
#define BUFFER_COUNT 2u
/* As small as zlib's usual level, within 2 %. */
#define LEVEL_DEFAULT 5

/* Stored blocks of deflate (RFC 1951, 3.2.4): the last one's bit and the type, the length and its complement. */
#define STORED_HEAD_LEN 5u
#define STORED_LEN_MAX 65535u

struct stream_writer;

struct stream_buffer {
    struct stream_writer *writer;
    struct io_request request;
    uint8_t *data; /* BUFFER_LEN bytes */
    bool is_busy;
};

struct stream_writer {
    struct block_writer blocks; /* first */
    struct vmdk_sparse_header header;
    struct deflate_choice compression;
    struct stream_buffer buffers[BUFFER_COUNT];
    uint32_t current;
    uint32_t fill_len; /* of the current buffer, which goes to blocks.next_off */
    /* The grain table under way. */
    bool has_table;
    uint64_t table_index;
    struct le32 table[VMDK_NEW_TABLE_COUNT];
    struct le32 *directory;
    uint64_t directory_count;
    uint8_t *grain;       /* memory for a grain that is stored */
    uint8_t *zero_stream; /* a grain of zeros; NULL: none is ever stored */
    uint32_t zero_stream_len;
    /* Of an image that exists, and has no grain yet: */
    struct span descriptor;
    bool has_begun;      /* its file is no image until it is complete */
    uint64_t next_grain; /* behind the last one that came */
};

_Static_assert(VMDK_NEW_TABLE_COUNT * 4u == VMDK_NEW_TABLE_SECTORS * VMDK_SECTOR_LEN, "a table is whole sectors");

static struct stream_writer *stream_writer_of(struct target *target)
{
    return (struct stream_writer *)target;
}

static void buffer_done(struct io_request *request, const struct error *error)
{
    struct stream_buffer *buffer = request->owner;
    buffer->is_busy = false;
    target_request_done(&buffer->writer->blocks.target, error);
}

/* Writes the current buffer, and goes on with the next one. */
static bool flush(struct stream_writer *writer, struct error *error)
{
    struct target *target = &writer->blocks.target;
    struct stream_buffer *full = &writer->buffers[writer->current];
    uint32_t len = writer->fill_len;
    uint64_t off;
    if (len == 0) {
        return true;
    }
    RETURN_IF_FAILED(block_writer_append(&writer->blocks, len, 1, false, &off, error));
    full->is_busy = true;
    full->request = (struct io_request){.done = buffer_done, .owner = full};
    target->pending++;
    io_write(target->io, &full->request, target->file, off, full->data, len);
    writer->current = (writer->current + 1) % BUFFER_COUNT;
    writer->fill_len = 0;
    while (writer->buffers[writer->current].is_busy) { /* ends: its request is done at some time */
        RETURN_IF_FAILED(io_wait(target->io, error));
    }
    return target_check(target, error);
}

static bool append(struct stream_writer *writer, const void *data, size_t len, struct error *error)
{
    const uint8_t *bytes = data;
    while (len > 0) { /* ends: each round takes some of it */
        size_t part_len = (size_t)min_u64(len, BUFFER_LEN - writer->fill_len);
        memcpy(writer->buffers[writer->current].data + writer->fill_len, bytes, part_len);
        writer->fill_len += (uint32_t)part_len;
        bytes += part_len;
        len -= part_len;
        RETURN_IF_FAILED(writer->fill_len < BUFFER_LEN || flush(writer, error));
    }
    return true;
}

/* Zeros up to the end of the sector. */
static bool pad(struct stream_writer *writer, struct error *error)
{
    static const uint8_t zeros[VMDK_SECTOR_LEN];
    return append(writer, zeros, round_up(writer->fill_len, VMDK_SECTOR_LEN) - writer->fill_len, error);
}

/* Where the next byte goes, as an entry of a table. */
static bool next_entry(const struct stream_writer *writer, uint32_t *ret_entry, struct error *error)
{
    return vmdk_new_entry(&writer->blocks.target, writer->blocks.next_off + writer->fill_len, ret_entry, error);
}

static bool append_marker(struct stream_writer *writer, enum vmdk_marker_type type, uint64_t sectors,
                          struct error *error)
{
    uint8_t bytes[VMDK_SECTOR_LEN];
    vmdk_marker_emit(type, sectors, bytes);
    return append(writer, bytes, sizeof(bytes), error);
}

/* The table under way is complete: no grain of it comes any more. */
static bool close_table(struct stream_writer *writer, struct error *error)
{
    uint32_t entry;
    if (!writer->has_table) {
        return true;
    }
    writer->has_table = false;
    RETURN_IF_FAILED(append_marker(writer, VMDK_MARKER_TABLE, VMDK_NEW_TABLE_SECTORS, error) &&
                     next_entry(writer, &entry, error) && append(writer, writer->table, sizeof(writer->table), error));
    writer->directory[writer->table_index] = le32_make(entry);
    return true;
}

/* Grain `grain` of the disk has this entry; grains come in ascending order. */
static bool set_entry(struct stream_writer *writer, uint64_t grain, uint32_t entry)
{
    writer->table[grain % VMDK_NEW_TABLE_COUNT] = le32_make(entry);
    return true;
}

/* Makes the table of grain `grain` the one under way. */
static bool open_table(struct stream_writer *writer, uint64_t grain, struct error *error)
{
    uint64_t index = grain / VMDK_NEW_TABLE_COUNT;
    if (writer->has_table && writer->table_index == index) {
        return true;
    }
    RETURN_IF_FAILED(close_table(writer, error));
    memset(writer->table, 0, sizeof(writer->table));
    writer->has_table = true;
    writer->table_index = index;
    return true;
}

/* A grain's marker; its stream of `len` bytes comes next. */
static bool begin_grain(struct stream_writer *writer, uint64_t grain, uint32_t len, struct error *error)
{
    uint8_t marker[VMDK_GRAIN_MARKER_LEN];
    uint32_t entry;
    RETURN_IF_FAILED(target_check(&writer->blocks.target, error) && open_table(writer, grain, error) &&
                     next_entry(writer, &entry, error));
    vmdk_grain_marker_emit(grain * VMDK_NEW_GRAIN_SECTORS, len, marker);
    return set_entry(writer, grain, entry) && append(writer, marker, sizeof(marker), error);
}

static bool append_grain(struct stream_writer *writer, uint64_t grain, struct span stream, struct error *error)
{
    return begin_grain(writer, grain, (uint32_t)stream.len, error) && append(writer, stream.data, stream.len, error) &&
           pad(writer, error);
}

static bool append_stored_block(struct stream_writer *writer, struct span bytes, bool is_last, struct error *error)
{
    uint16_t len = (uint16_t)bytes.len;
    uint8_t head[STORED_HEAD_LEN] = {is_last};
    struct le16 lens[2] = {le16_make(len), le16_make((uint16_t)~len)};
    memcpy(head + 1, lens, sizeof(lens));
    return append(writer, head, sizeof(head), error) && append(writer, bytes.data, bytes.len, error);
}

/* A grain that does not get shorter: as the specification has no grains but streams, one of stored blocks. */
static bool append_stored_grain(struct stream_writer *writer, uint64_t grain, struct span bytes, struct error *error)
{
    struct span first = {bytes.data, STORED_LEN_MAX};
    struct span rest = {bytes.data + STORED_LEN_MAX, bytes.len - STORED_LEN_MAX};
    uint8_t head[DEFLATE_ZLIB_HEAD_LEN];
    uint8_t tail[DEFLATE_ZLIB_TAIL_LEN];
    size_t len = sizeof(head) + bytes.len + STORED_HEAD_LEN + STORED_HEAD_LEN + sizeof(tail);
    deflate_zlib_head(head);
    deflate_zlib_tail(bytes, tail);
    return begin_grain(writer, grain, (uint32_t)len, error) && append(writer, head, sizeof(head), error) &&
           append_stored_block(writer, first, false, error) && append_stored_block(writer, rest, true, error) &&
           append(writer, tail, sizeof(tail), error) && pad(writer, error);
}

/* A whole grain, or the last one of the disk: all that comes has been through `compress`, and did not get shorter. */
static bool stream_write(struct target *target, struct target_write *write, uint64_t voff, const void *data,
                         uint64_t len, uint64_t *ret_len, struct error *error)
{
    struct stream_writer *writer = stream_writer_of(target);
    if (voff % VMDK_NEW_GRAIN_LEN != 0 || len > VMDK_NEW_GRAIN_LEN ||
        (len < VMDK_NEW_GRAIN_LEN && voff + len < target->virtual_len)) {
        return error_set(error, ERROR_GUEST, target->file->name, "a grain does not come as a whole");
    }
    memcpy(writer->grain, data, (size_t)len);
    memset(writer->grain + len, 0, (size_t)(VMDK_NEW_GRAIN_LEN - len));
    RETURN_IF_FAILED(append_stored_grain(writer, voff / VMDK_NEW_GRAIN_LEN,
                                         (struct span){writer->grain, VMDK_NEW_GRAIN_LEN}, error));
    *ret_len = len;
    write->done(write, NULL);
    return true;
}

static bool stream_write_compressed(struct target *target, struct target_write *write, uint64_t voff,
                                    struct span stream, struct error *error)
{
    RETURN_IF_FAILED(append_grain(stream_writer_of(target), voff / VMDK_NEW_GRAIN_LEN, stream, error));
    write->done(write, NULL);
    return true;
}

static uint32_t stream_compress(const struct target *target, struct span cluster, uint8_t *stream, void *scratch)
{
    const struct stream_writer *writer = (const struct stream_writer *)target;
    size_t len;
    return deflate_compress_zlib(&writer->compression, cluster, stream, cluster.len - 1, scratch, &len)
               ? (uint32_t)len
               : TARGET_COMPRESS_FAILED;
}

/* Nothing, unless there is something behind. */
static bool stream_zero(struct target *target, uint64_t voff, uint64_t len, struct error *error)
{
    struct stream_writer *writer = stream_writer_of(target);
    if (!target->has_backing && !writer->blocks.stores_zeros) {
        return true;
    }
    for (uint64_t at = voff; at < voff + len; at += VMDK_NEW_GRAIN_LEN) {
        uint64_t grain = at / VMDK_NEW_GRAIN_LEN;
        RETURN_IF_FAILED(target_check(target, error));
        if ((writer->header.flags & VMDK_FLAG_ZEROED_GRAINS) != 0 && !writer->blocks.stores_zeros) {
            RETURN_IF_FAILED(open_table(writer, grain, error) && set_entry(writer, grain, VMDK_ENTRY_ZEROED));
        } else {
            RETURN_IF_FAILED(
                append_grain(writer, grain, (struct span){writer->zero_stream, writer->zero_stream_len}, error));
        }
    }
    return true;
}

static const struct target_operations stream_operations = {
    .write = stream_write,
    .zero = stream_zero,
    .write_compressed = stream_write_compressed,
    .compress = stream_compress,
    .finish = block_writer_finish,
};

/* The directory, and the footer: the header that says where that is, between markers. */
static bool stream_end_tables(struct block_writer *blocks, struct error *error)
{
    struct stream_writer *writer = (struct stream_writer *)blocks;
    struct vmdk_sparse_header footer = writer->header;
    uint8_t bytes[VMDK_SPARSE_HEADER_LEN];
    uint64_t directory_len = writer->directory_count * sizeof(*writer->directory);
    uint64_t directory_sectors = round_up(directory_len, VMDK_SECTOR_LEN) / VMDK_SECTOR_LEN;
    uint32_t entry;
    RETURN_IF_FAILED(close_table(writer, error) &&
                     append_marker(writer, VMDK_MARKER_DIRECTORY, directory_sectors, error) &&
                     next_entry(writer, &entry, error) &&
                     append(writer, writer->directory, (size_t)directory_len, error) && pad(writer, error));
    footer.directory_sector = entry;
    vmdk_sparse_header_emit(&footer, bytes);
    return append_marker(writer, VMDK_MARKER_FOOTER, 1, error) && append(writer, bytes, sizeof(bytes), error) &&
           append_marker(writer, VMDK_MARKER_END_OF_STREAM, 0, error) && flush(writer, error);
}

static bool stream_write_header(struct block_writer *blocks, struct error *error)
{
    uint8_t bytes[VMDK_SPARSE_HEADER_LEN];
    vmdk_sparse_header_emit(&((struct stream_writer *)blocks)->header, bytes);
    return block_writer_put(blocks, 0, bytes, sizeof(bytes), error);
}

static const struct block_writer_format stream_format = {
    .end_tables = stream_end_tables,
    .write_header = stream_write_header,
};

static bool choose_compression(struct stream_writer *writer, const struct target_compression *wanted,
                               struct error *error)
{
    struct target *target = &writer->blocks.target;
    writer->compression = (struct deflate_choice){
        .level = wanted->level == TARGET_LEVEL_DEFAULT ? LEVEL_DEFAULT : wanted->level,
        .large_window = wanted->window != TARGET_WINDOW_SMALL,
    };
    RETURN_IF_FAILED(target_check_level(writer->compression.level, DEFLATE_LEVEL_MIN, DEFLATE_LEVEL_MAX, error));
    target->compress_len = VMDK_NEW_GRAIN_LEN;
    target->scratch_len = (uint32_t)deflate_compress_scratch_len(&writer->compression, VMDK_NEW_GRAIN_LEN);
    target->compresses_always = true;
    target->unit_len = VMDK_NEW_GRAIN_LEN;
    target->takes_copies = false;
    target->operations = &stream_operations;
    return true;
}

/* A grain of zeros has to be written where there is something behind that would show. */
static bool make_zero_stream(struct stream_writer *writer, struct arena *arena, struct error *error)
{
    struct target *target = &writer->blocks.target;
    struct span zeros = {writer->grain, VMDK_NEW_GRAIN_LEN};
    void *scratch = arena_allocate(arena, target->scratch_len, _Alignof(max_align_t));
    writer->zero_stream = arena_allocate(arena, VMDK_NEW_GRAIN_LEN, 1);
    if (writer->zero_stream == NULL || scratch == NULL) {
        return error_set(error, ERROR_LIMIT, target->file->name, "no memory is left for the image");
    }
    struct deflate_choice compression = writer->compression;
    writer->compression.level = compression.level == DEFLATE_LEVEL_MIN ? LEVEL_DEFAULT : compression.level;
    uint32_t len = stream_compress(target, zeros, writer->zero_stream, scratch);
    writer->compression = compression;
    writer->zero_stream_len = len;
    return len != TARGET_COMPRESS_FAILED ||
           error_set(error, ERROR_GUEST, target->file->name, "a grain of zeros was compressed wrong");
}

/* All memory. */
static bool memory_make(struct stream_writer *writer, struct arena *arena)
{
    for (uint32_t i = 0; i < BUFFER_COUNT; i++) {
        writer->buffers[i] =
            (struct stream_buffer){.writer = writer, .data = arena_allocate(arena, BUFFER_LEN, VMDK_SECTOR_LEN)};
        if (writer->buffers[i].data == NULL) {
            return false;
        }
    }
    writer->grain = arena_allocate(arena, VMDK_NEW_GRAIN_LEN, VMDK_SECTOR_LEN);
    writer->directory =
        arena_allocate(arena, max_u64(writer->directory_count, 1) * sizeof(*writer->directory), _Alignof(struct le32));
    return writer->grain != NULL && writer->directory != NULL;
}

static void header_fill(const struct vmdk_writer_setup *setup, struct vmdk_sparse_header *header)
{
    *header = (struct vmdk_sparse_header){
        .version = VERSION_STREAM,
        .flags = VMDK_FLAG_LINE_ENDS | VMDK_FLAG_COMPRESSED | VMDK_FLAG_MARKERS |
                 (setup->has_zeroed_grains ? VMDK_FLAG_ZEROED_GRAINS : 0),
        .capacity_sectors = setup->target->virtual_len / VMDK_SECTOR_LEN,
        .grain_sectors = VMDK_NEW_GRAIN_SECTORS,
        .descriptor_sector = VMDK_DESCRIPTOR_SECTOR,
        .table_count = VMDK_NEW_TABLE_COUNT,
        .directory_sector = VMDK_DIRECTORY_AT_END,
        .overhead_sectors = OVERHEAD_SECTORS,
        .compression = VMDK_COMPRESSION_DEFLATE,
    };
}

bool vmdk_stream_writer_make(const struct vmdk_writer_setup *setup, struct target **ret_target, struct error *error)
{
    const struct target_setup *target_setup = setup->target;
    struct arena *arena = target_setup->environment->arena;
    struct stream_writer *writer = arena_allocate(arena, sizeof(*writer), _Alignof(struct stream_writer));
    struct block_writer_layout layout = {
        .format = &stream_format,
        .block_len = VMDK_NEW_GRAIN_LEN,
        .data_off = (uint64_t)OVERHEAD_SECTORS * VMDK_SECTOR_LEN,
        .has_backing = target_setup->backing_name.is_set,
    };
    uint64_t count;
    /* How long it becomes is not known before, and its footer is at the file's end. */
    RETURN_IF_FAILED(target_check_end(target_setup, UINT64_MAX, error));
    RETURN_IF_FAILED(vmdk_new_table_count(target_setup->virtual_len, &count, error));
    if (writer == NULL) {
        return error_set(error, ERROR_LIMIT, target_setup->file->name, "no memory is left for the image");
    }
    writer->directory_count = count;
    if (!memory_make(writer, arena)) {
        return error_set(error, ERROR_LIMIT, target_setup->file->name, "no memory is left for the grain directory");
    }
    header_fill(setup, &writer->header);
    RETURN_IF_FAILED(block_writer_make(&writer->blocks, target_setup, &layout, error) &&
                     choose_compression(writer, &target_setup->compression, error));
    RETURN_IF_FAILED((!layout.has_backing && !target_setup->stores_zeros) || make_zero_stream(writer, arena, error));
    /* A device gets zeros there. */
    RETURN_IF_FAILED(target_settle(&writer->blocks.target, error) &&
                     vmdk_put_descriptor(&writer->blocks, setup->descriptor, error));
    *ret_target = &writer->blocks.target;
    return true;
}

/*
 * An image that exists and has no grain, as QEMU and we make them, gets them by becoming a new one in its file, of
 * which the descriptor stays. From the first write to the end that file is no image, so that half of one does not look
 * like a whole one.
 */
static bool refill_begin(struct stream_writer *writer, struct error *error)
{
    struct target *target = &writer->blocks.target;
    struct file *file = target->file;
    uint64_t overhead_len = (uint64_t)OVERHEAD_SECTORS * VMDK_SECTOR_LEN;
    uint64_t off;
    struct io_request request = target_own_request(target);
    io_write_zeroes(target->io, &request, file, 0, min_u64(file->len, overhead_len), true);
    RETURN_IF_FAILED(target_settle(target, error) && target_flush_file(target, file, error));
    writer->has_begun = true;
    return block_writer_append(&writer->blocks, overhead_len, 1, true, &off, error) && target_settle(target, error) &&
           vmdk_put_descriptor(&writer->blocks, writer->descriptor, error);
}

/* Grains come one after the other, each once. */
static bool refill_take(struct stream_writer *writer, uint64_t voff, uint64_t len, struct error *error)
{
    struct target *target = &writer->blocks.target;
    uint64_t grain = voff / VMDK_NEW_GRAIN_LEN;
    uint64_t left = target->virtual_len - voff;
    if (voff % VMDK_NEW_GRAIN_LEN != 0 || len != min_u64(left, VMDK_NEW_GRAIN_LEN)) {
        return error_set(error, ERROR_USAGE, NULL, "Invalid argument");
    }
    if (grain < writer->next_grain) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Could not write to allocated cluster for streamOptimized");
    }
    writer->next_grain = grain + 1;
    return writer->has_begun || refill_begin(writer, error);
}

static bool refill_write(struct target *target, struct target_write *write, uint64_t voff, const void *data,
                         uint64_t len, uint64_t *ret_len, struct error *error)
{
    return refill_take(stream_writer_of(target), voff, len, error) &&
           stream_write(target, write, voff, data, len, ret_len, error);
}

static bool refill_write_compressed(struct target *target, struct target_write *write, uint64_t voff,
                                    struct span stream, struct error *error)
{
    uint64_t len = min_u64(target->virtual_len - voff, VMDK_NEW_GRAIN_LEN);
    return refill_take(stream_writer_of(target), voff, len, error) &&
           stream_write_compressed(target, write, voff, stream, error);
}

static bool refill_begin_compression(struct target *target, const struct target_compression *compression,
                                     struct error *error)
{
    struct stream_writer *writer = stream_writer_of(target);
    const struct target_operations *operations = target->operations;
    RETURN_IF_FAILED(choose_compression(writer, compression, error));
    target->operations = operations;
    return true;
}

static bool refill_finish(struct target *target, bool sync, struct error *error)
{
    return !stream_writer_of(target)->has_begun || block_writer_finish(target, sync, error);
}

bool vmdk_stream_refill_make(const struct image *image, struct span descriptor, bool has_zeroed_grains,
                             struct target **ret_target, struct error *error)
{
    static const struct target_operations operations = {
        .begin_compression = refill_begin_compression,
        .write = refill_write,
        .zero = stream_zero,
        .write_compressed = refill_write_compressed,
        .compress = stream_compress,
        .finish = refill_finish,
    };
    const struct target_setup setup = {
        .environment = image->environment,
        .file = image->file,
        .virtual_len = image->virtual_len,
        .compression = {.level = TARGET_LEVEL_DEFAULT},
    };
    /* Nothing is in front yet. */
    const struct block_writer_layout layout = {.format = &stream_format, .block_len = VMDK_NEW_GRAIN_LEN};
    const struct vmdk_writer_setup writer_setup = {.target = &setup, .has_zeroed_grains = has_zeroed_grains};
    struct arena *arena = image->environment->arena;
    struct stream_writer *writer = arena_allocate(arena, sizeof(*writer), _Alignof(struct stream_writer));
    uint64_t count;
    RETURN_IF_FAILED(vmdk_new_table_count(image->virtual_len, &count, error));
    if (writer == NULL) {
        return error_set(error, ERROR_LIMIT, image->file->name, "no memory is left for the image");
    }
    writer->directory_count = count;
    if (!memory_make(writer, arena)) {
        return error_set(error, ERROR_LIMIT, image->file->name, "no memory is left for the grain directory");
    }
    header_fill(&writer_setup, &writer->header);
    writer->descriptor = descriptor;
    RETURN_IF_FAILED(block_writer_make(&writer->blocks, &setup, &layout, error) &&
                     choose_compression(writer, &setup.compression, error));
    writer->blocks.target.operations = &operations;
    *ret_target = &writer->blocks.target;
    return true;
}
