/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.h, one request after the other: each is carried out when it is submitted, and reported later, in an order that is
 * random but always the same. Nobody may rely on another one.
 */
#include "guest/image/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/virtio_blk.h"
#include "base/checked.h"
#include "base/zeros.h"
#include "native_private.h"

#define PENDING_MAX 4096u
#define COPY_LEN (1u << 20)

struct finished {
    struct io_request *request;
    uint64_t id;
    struct error error; /* unset: success */
};

struct io {
    struct finished finished[PENDING_MAX];
    uint32_t count;
    uint64_t last_id;
    uint64_t random;
};

static struct io *current;

void native_io_release(void)
{
    current = NULL;
}

struct io *io_make(struct arena *arena, uint32_t request_count)
{
    (void)arena;
    if (request_count == 0 || current != NULL) {
        return NULL;
    }
    static struct io io; /* large */
    io.count = 0;
    io.last_id = 0;
    io.random = 0;
    current = &io;
    return current;
}

/* The entry of a request; its error is to be filled in. */
static struct error *add(struct io *io, struct io_request *request)
{
    if (io->count == PENDING_MAX) {
        fputs("native: too many requests are under way\n", stderr);
        abort();
    }
    struct finished *finished = &io->finished[io->count++];
    finished->request = request;
    finished->id = ++io->last_id;
    finished->error = (struct error){0};
    return &finished->error;
}

void io_read(struct io *io, struct io_request *request, struct file *file, uint64_t off, void *data, uint64_t len)
{
    (void)!file_read(file, off, data, (size_t)len, add(io, request));
}

void io_write(struct io *io, struct io_request *request, struct file *file, uint64_t off, const void *data,
              uint64_t len)
{
    (void)!native_file_write(file, off, data, len, add(io, request));
    native_record_write(io->last_id, file, off, len);
}

void io_write_zeroes(struct io *io, struct io_request *request, struct file *file, uint64_t off, uint64_t len,
                     bool may_unmap)
{
    (void)may_unmap;
    (void)!native_file_zero(file, off, len, add(io, request));
    native_record_zero(io->last_id, file, off, len);
}

void io_copy(struct io *io, struct io_request *request, struct file *source, uint64_t source_off, struct file *target,
             uint64_t target_off, uint64_t len, uint32_t zero_len)
{
    static uint8_t buffer[COPY_LEN];
    struct error *error = add(io, request);
    uint64_t step_len = zero_len != 0 ? min_u64(zero_len, COPY_LEN) : COPY_LEN;
    for (uint64_t done = 0; done < len; done += step_len) {
        uint64_t part_len = min_u64(len - done, step_len);
        if (!file_read(source, source_off + done, buffer, (size_t)part_len, error)) {
            return;
        }
        bool zeroes = zero_len != 0 && part_len == step_len && bytes_are_zero((struct span){buffer, part_len});
        if (zeroes ? !native_file_zero(target, target_off + done, part_len, error)
                   : !native_file_write(target, target_off + done, buffer, part_len, error)) {
            return;
        }
    }
    native_record_write(io->last_id, target, target_off, len);
}

void io_find_zeros(struct io *io, struct io_request *request, struct file *file, uint64_t off, uint32_t unit_bits,
                   uint32_t unit_count, uint8_t *bitmap)
{
    static uint8_t unit[1u << VIRTIO_BLK_ZEROS_UNIT_BITS_MAX];
    struct error *error = add(io, request);
    memset(bitmap, 0, (unit_count + 7) / 8);
    for (uint32_t i = 0; i < unit_count; i++) {
        if (!file_read(file, off + ((uint64_t)i << unit_bits), unit, (size_t)1 << unit_bits, error)) {
            return;
        }
        bitmap[i / 8] |= (uint8_t)(bytes_are_zero((struct span){unit, (size_t)1 << unit_bits}) << i % 8);
    }
}

void io_set_len(struct io *io, struct io_request *request, struct file *file, uint64_t len)
{
    (void)!native_file_set_len(file, len, add(io, request));
    native_record_length(io->last_id, file);
}

void io_flush(struct io *io, struct io_request *request, struct file *file)
{
    struct error *error = add(io, request);
    int fd = native_file_descriptor(file);
    if (fd >= 0 && fsync(fd) != 0) {
        (void)error_set(error, ERROR_IO, file->name, "flush failed");
    }
    native_record_flush(io->last_id, file);
}

bool io_poll(struct io *io, struct error *error)
{
    (void)error;
    uint32_t rounds = io->count; /* not what `done` submits */
    for (uint32_t i = 0; i < rounds; i++) {
        io->random = io->random * 6364136223846793005ull + 1442695040888963407ull;
        uint32_t chosen = (uint32_t)((io->random >> 33) % io->count);
        struct finished finished = io->finished[chosen];
        io->finished[chosen] = io->finished[--io->count];
        native_record_done(finished.id);
        finished.request->done(finished.request, error_is_set(&finished.error) ? &finished.error : NULL);
    }
    return true;
}

bool io_wait(struct io *io, struct error *error)
{
    if (io->count == 0) {
        fputs("native: a wait for nothing\n", stderr);
        abort();
    }
    return io_poll(io, error);
}
