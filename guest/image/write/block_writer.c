/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/write/block_writer.h"

#include <string.h>

#include "base/checked.h"
#include "base/units.h"
#include "guest/image/image.h"

/* How the file grows (target_grow_to), bytes. */
#define GROWTH_LEN_MIN (64ull << 20)
#define GROWTH_LEN_MAX (16ull << 30)
/* Of what zeros are looked for in: longer stretches of a source that is in pieces itself would not be looked at. */
#define ZERO_UNIT_LEN_MAX 65536u
/* Of one zeroing: so that progress is seen and a job's end is heard. */
#define ZEROING_LEN_MAX (1ull << 30)

static void request_done(struct io_request *request, const struct error *error)
{
    struct block_writer_request *own = request->owner;
    struct block_writer *writer = own->writer;
    target_request_done(&writer->target, error);
    own->next_free = writer->free;
    writer->free = own;
}

/* One that is free, after a wait if none is. It counts as under way: the caller starts it. */
static bool request_take(struct block_writer *writer, struct block_writer_request **ret_request, struct error *error)
{
    while (writer->free == NULL) { /* ends: requests are done at some time */
        RETURN_IF_FAILED(io_wait(writer->target.io, error));
    }
    RETURN_IF_FAILED(target_check(&writer->target, error));
    struct block_writer_request *own = writer->free;
    writer->free = own->next_free;
    own->request = (struct io_request){.done = request_done, .owner = own};
    writer->target.pending++;
    *ret_request = own;
    return true;
}

static bool reach(struct block_writer *writer, uint64_t end_off, struct error *error)
{
    return target_grow_to(&writer->target, end_off, GROWTH_LEN_MIN, GROWTH_LEN_MAX, error);
}

bool block_writer_put(struct block_writer *writer, uint64_t off, const void *data, uint64_t len, struct error *error)
{
    const uint8_t *bytes = data;
    RETURN_IF_FAILED(reach(writer, off + len, error));
    for (uint64_t done_len = 0; done_len < len; done_len += BLOCK_WRITER_PUT_LEN) {
        struct block_writer_request *own;
        uint64_t part_len = min_u64(len - done_len, BLOCK_WRITER_PUT_LEN);
        RETURN_IF_FAILED(request_take(writer, &own, error));
        memcpy(own->data, bytes + done_len, (size_t)part_len);
        io_write(writer->target.io, &own->request, writer->target.file, off + done_len, own->data, part_len);
    }
    return true;
}

bool block_writer_put_zeros(struct block_writer *writer, uint64_t off, uint64_t len, bool may_unmap,
                            struct error *error)
{
    uint64_t end = off + len;
    RETURN_IF_FAILED(reach(writer, end, error));
    while (off < end) { /* ends: each round goes on by a part */
        struct block_writer_request *own;
        uint64_t part_len = min_u64(end - off, ZEROING_LEN_MAX);
        RETURN_IF_FAILED(request_take(writer, &own, error));
        io_write_zeroes(writer->target.io, &own->request, writer->target.file, off, part_len, may_unmap);
        off += part_len;
    }
    return true;
}

bool block_writer_append(struct block_writer *writer, uint64_t len, uint64_t alignment, bool is_zero, uint64_t *ret_off,
                         struct error *error)
{
    uint64_t off = (writer->next_off + alignment - 1) / alignment * alignment;
    uint64_t end_off;
    if (!checked_add(off, len, &end_off) || end_off > FILE_END_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, writer->target.file->name, "the image is longer than a file can be");
    }
    RETURN_IF_FAILED(reach(writer, end_off, error));
    if (is_zero && !writer->target.file->reads_as_zero) {
        /* A device may finish requests in another order: what is written there comes behind the zeros. */
        RETURN_IF_FAILED(block_writer_put_zeros(writer, off, round_up(len, SECTOR_LEN), true, error) &&
                         target_settle(&writer->target, error));
    }
    writer->next_off = end_off;
    *ret_off = off;
    return true;
}

uint64_t block_writer_count(const struct block_writer *writer)
{
    uint64_t len = writer->target.virtual_len;
    return divide_up(len, writer->layout.block_len);
}

/* What a device held must not show: bytes of the block under way, up to `end`, that nobody has written. */
static bool fill_gap(struct block_writer *writer, uint64_t end, struct error *error)
{
    if (writer->target.file->reads_as_zero || writer->written_len >= end) {
        return true;
    }
    uint64_t start = round_up(writer->written_len, SECTOR_LEN); /* see copy_end */
    writer->written_len = end;
    return start >= end || block_writer_put_zeros(writer, writer->block_off + start, end - start, true, error);
}

bool block_writer_close(struct block_writer *writer, struct error *error)
{
    if (writer->layout.is_flat) {
        writer->block_off = writer->layout.data_off;
        return fill_gap(writer, writer->target.virtual_len, error);
    }
    if (!writer->has_block) {
        return true;
    }
    RETURN_IF_FAILED(fill_gap(writer, writer->layout.block_len, error));
    writer->has_block = false;
    return true;
}

/* Makes `block` the one under way. */
static bool open_block(struct block_writer *writer, uint64_t block, struct error *error)
{
    uint64_t off;
    if (writer->has_block && writer->block == block) {
        return true;
    }
    RETURN_IF_FAILED(block_writer_close(writer, error));
    RETURN_IF_FAILED(writer->layout.format->place(writer, block, &off, error));
    writer->has_block = true;
    writer->block = block;
    writer->block_off = off;
    writer->written_len = 0;
    return true;
}

/* Whoever asks for a place for bytes of the block under way writes them. */
static bool note_own(struct block_writer *writer, uint64_t in_block, uint64_t len, struct error *error)
{
    const struct block_writer_format *format = writer->layout.format;
    return !writer->layout.has_backing || format->set_own == NULL ||
           format->set_own(writer, writer->block, in_block, round_up(len, SECTOR_LEN), error);
}

/* A place for the start of [voff, voff + len), as far as it goes in one piece. */
static bool place_in_blocks(struct block_writer *writer, uint64_t voff, uint64_t len, uint64_t *ret_off,
                            uint64_t *ret_len, struct error *error)
{
    uint64_t block_len = writer->layout.block_len;
    uint64_t block = voff / block_len;
    uint64_t in_block = voff % block_len;
    RETURN_IF_FAILED(open_block(writer, block, error));
    RETURN_IF_FAILED(fill_gap(writer, in_block, error));
    uint64_t off = writer->block_off + in_block;
    uint64_t done_len = min_u64(len, block_len - in_block);
    writer->written_len = in_block + done_len;
    RETURN_IF_FAILED(note_own(writer, in_block, done_len, error));
    while (done_len < len) { /* ends: by a block each round */
        uint64_t end_off = off + done_len;
        RETURN_IF_FAILED(open_block(writer, ++block, error));
        if (writer->block_off != end_off) {
            break; /* nothing is written there yet: the caller comes with it next */
        }
        writer->written_len = min_u64(len - done_len, block_len);
        RETURN_IF_FAILED(note_own(writer, 0, writer->written_len, error));
        done_len += writer->written_len;
    }
    *ret_off = off;
    *ret_len = done_len;
    return true;
}

static bool place(struct block_writer *writer, uint64_t voff, uint64_t len, uint64_t *ret_off, uint64_t *ret_len,
                  struct error *error)
{
    RETURN_IF_FAILED(target_check(&writer->target, error));
    if (writer->layout.is_flat) {
        writer->written_len = voff + len; /* who writes tells of all that comes before, too */
        *ret_off = writer->layout.data_off + voff;
        *ret_len = len;
        return true;
    }
    return place_in_blocks(writer, voff, len, ret_off, ret_len, error);
}

/* Zeros of the disk at `voff`, encrypted, to `off` of the file: whole sectors. */
static bool put_encrypted_zeros(struct block_writer *writer, uint64_t off, uint64_t voff, uint64_t len,
                                struct error *error)
{
    uint64_t part_len;
    for (uint64_t done_len = 0; done_len < len; done_len += part_len) { /* ends: each round goes on by a part */
        struct block_writer_request *own;
        part_len = min_u64(len - done_len, CIPHER_WRITE_LEN_MAX);
        RETURN_IF_FAILED(request_take(writer, &own, error));
        if (!cipher_write(writer->cipher, &own->request, writer->target.file, off + done_len, voff + done_len, NULL,
                          part_len, error)) {
            request_done(&own->request, error);
            return false;
        }
    }
    return true;
}

/*
 * A place for the start of [voff, voff + len), of whole blocks, or up to the disk's end: then what is behind that in
 * its block has been written.
 */
static bool place_encrypted(struct block_writer *writer, uint64_t voff, uint64_t len, uint64_t *ret_off,
                            uint64_t *ret_len, struct error *error)
{
    uint64_t block_len = writer->layout.block_len;
    if (voff % block_len != 0 || (len % block_len != 0 && voff + len != writer->target.virtual_len)) {
        return error_set(error, ERROR_GUEST, writer->target.file->name,
                         "a part of an encrypted block is to be written");
    }
    RETURN_IF_FAILED(place(writer, voff, min_u64(len, CIPHER_WRITE_LEN_MAX), ret_off, ret_len, error));
    uint64_t end = voff + *ret_len;
    return put_encrypted_zeros(writer, *ret_off + *ret_len, end, round_up(end, block_len) - end, error);
}

static bool write_encrypted(struct block_writer *writer, struct target_write *write, uint64_t voff, const void *data,
                            uint64_t len, uint64_t *ret_len, struct error *error)
{
    uint64_t off;
    RETURN_IF_FAILED(place_encrypted(writer, voff, len, &off, ret_len, error));
    target_begin_write(&writer->target, write);
    if (!cipher_write(writer->cipher, &write->request, writer->target.file, off, voff, data, *ret_len, error)) {
        writer->target.pending--;
        return false;
    }
    return true;
}

static bool writer_write(struct target *target, struct target_write *write, uint64_t voff, const void *data,
                         uint64_t len, uint64_t *ret_len, struct error *error)
{
    uint64_t off;
    if (block_writer_of(target)->cipher != NULL) {
        return write_encrypted(block_writer_of(target), write, voff, data, len, ret_len, error);
    }
    RETURN_IF_FAILED(place(block_writer_of(target), voff, len, &off, ret_len, error));
    target_begin_write(target, write);
    io_write(target->io, &write->request, target->file, off, data, *ret_len);
    return true;
}

/* The disk may end within a sector: what a device held must not show behind it. */
static bool copy_end(struct block_writer *writer, uint64_t off, uint64_t len, struct error *error)
{
    if (len % SECTOR_LEN == 0 || writer->target.file->reads_as_zero) {
        return true;
    }
    return block_writer_put_zeros(writer, off + round_down(len, SECTOR_LEN), SECTOR_LEN, true, error) &&
           target_settle(&writer->target, error);
}

static bool writer_copy(struct target *target, struct target_write *write, uint64_t voff, struct file *source,
                        uint64_t source_off, uint64_t len, uint32_t zero_len, uint64_t *ret_len, struct error *error)
{
    uint64_t off;
    RETURN_IF_FAILED(place(block_writer_of(target), voff, len, &off, ret_len, error));
    RETURN_IF_FAILED(copy_end(block_writer_of(target), off, *ret_len, error));
    target_begin_write(target, write);
    /* Which blocks have data, somebody has looked before; what is zeros within them reads as zeros anyway. */
    zero_len = target->detects_zeros || target->file->reads_as_zero ? zero_len : 0;
    io_copy(target->io, &write->request, source, source_off, target->file, off, *ret_len, zero_len);
    return true;
}

/* Storage that reads as zeros. */
static bool store_zeros(struct block_writer *writer, uint64_t voff, uint64_t len, struct error *error)
{
    uint64_t end = voff + len;
    while (voff < end) { /* ends: each round finds a place for some of it */
        uint64_t off;
        uint64_t part_len;
        if (writer->cipher != NULL) {
            RETURN_IF_FAILED(place_encrypted(writer, voff, end - voff, &off, &part_len, error));
            RETURN_IF_FAILED(put_encrypted_zeros(writer, off, voff, part_len, error));
        } else {
            RETURN_IF_FAILED(place(writer, voff, end - voff, &off, &part_len, error));
            RETURN_IF_FAILED(block_writer_put_zeros(writer, off, part_len, !writer->stores_zeros, error));
        }
        voff += part_len;
    }
    return true;
}

/* Blocks that begin within [voff, voff + len), which is whole blocks, or ends with the disk. */
static bool set_zeros(struct block_writer *writer, uint64_t voff, uint64_t len, struct error *error)
{
    uint64_t block_len = writer->layout.block_len;
    RETURN_IF_FAILED(target_check(&writer->target, error));
    RETURN_IF_FAILED(block_writer_close(writer, error));
    for (uint64_t at = voff; at < voff + len; at += block_len) {
        RETURN_IF_FAILED(writer->layout.format->set_zero(writer, at / block_len, error));
    }
    return true;
}

static bool writer_zero(struct target *target, uint64_t voff, uint64_t len, struct error *error)
{
    struct block_writer *writer = block_writer_of(target);
    bool is_hidden = !target->has_backing && (!writer->layout.is_flat || target->file->reads_as_zero);
    if (is_hidden && !writer->stores_zeros) {
        return true;
    }
    if (!writer->stores_zeros && target->has_backing && writer->layout.format->set_zero != NULL) {
        return set_zeros(writer, voff, len, error);
    }
    return store_zeros(writer, voff, len, error);
}

bool block_writer_finish(struct target *target, bool sync, struct error *error)
{
    struct block_writer *writer = block_writer_of(target);
    const struct block_writer_format *format = writer->layout.format;
    RETURN_IF_FAILED(block_writer_close(writer, error));
    RETURN_IF_FAILED(format->end_tables(writer, error));
    RETURN_IF_FAILED(target_settle(target, error));
    if (target->file->is_resizable && target->file->len != writer->next_off) {
        RETURN_IF_FAILED(target_set_len(target, target->file, writer->next_off, error));
    }
    if (sync) {
        /* Before the header, so that no header ever stands before what it tells of. */
        RETURN_IF_FAILED(target_flush_file(target, target->file, error));
    }
    RETURN_IF_FAILED(format->write_header(writer, error));
    RETURN_IF_FAILED(target_settle(target, error));
    return !sync || target_flush_file(target, target->file, error);
}

const struct target_operations block_writer_operations = {
    .write = writer_write,
    .copy = writer_copy,
    .zero = writer_zero,
    .finish = block_writer_finish,
};

static bool requests_make(struct block_writer *writer, struct arena *arena)
{
    for (uint32_t i = 0; i < BLOCK_WRITER_REQUEST_COUNT; i++) {
        struct block_writer_request *own = &writer->requests[i];
        own->writer = writer;
        own->data = arena_allocate(arena, BLOCK_WRITER_PUT_LEN, SECTOR_LEN);
        own->next_free = writer->free;
        writer->free = own;
        if (own->data == NULL) {
            return false;
        }
    }
    return true;
}

/* The largest unit that blocks consist of. */
static uint32_t zero_unit_len(const struct block_writer_layout *layout)
{
    uint64_t len = layout->block_len & (~layout->block_len + 1);
    return layout->is_flat ? 0 : (uint32_t)min_u64(len, ZERO_UNIT_LEN_MAX);
}

bool block_writer_make(struct block_writer *writer, const struct target_setup *setup,
                       const struct block_writer_layout *layout, struct error *error)
{
    struct file *file = setup->file;
    bool is_whole = (layout->has_backing && layout->format->set_own == NULL) || layout->cipher != NULL;
    *writer = (struct block_writer){
        .target =
            {
                .operations = &block_writer_operations,
                .file = file,
                .io = setup->environment->io,
                .virtual_len = setup->virtual_len,
                .unit_len = is_whole ? (uint32_t)layout->block_len : SECTOR_LEN,
                .zero_unit_len = zero_unit_len(layout),
                .has_backing = layout->has_backing,
                .takes_copies = file->takes_copies && layout->cipher == NULL,
                .detects_zeros = layout->is_flat,
            },
        .layout = *layout,
        .stores_zeros = setup->stores_zeros,
    };
    uint64_t off;
    if (!requests_make(writer, setup->environment->arena)) {
        return error_set(error, ERROR_LIMIT, file->name, "no memory is left for the image");
    }
    RETURN_IF_FAILED(layout->cipher == NULL || cipher_writer_make(setup->environment->arena, setup->environment->io,
                                                                  layout->cipher, &writer->cipher, error));
    RETURN_IF_FAILED(block_writer_append(writer, layout->data_off, 1, true, &off, error));
    return !layout->is_flat || block_writer_append(writer, layout->flat_len, 1, false, &off, error);
}
