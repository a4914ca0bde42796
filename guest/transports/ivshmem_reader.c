/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine that reads, of the two of ivshmem: fills slots with the input in order, a batch of them at a time, so
 * that the disk has several requests, while the other machine empties those before.
 */
#include <string.h>

#include "abi/ports.h"
#include "base/checked.h"
#include "base/text.h"
#include "guest/runtime/platform.h"
#include "guest/transports/disk_requests.h"
#include "guest/transports/ivshmem_link.h"
#include "guest/transports/transport_kinds.h"

#define BATCH_MAX (IVSHMEM_SLOT_COUNT / 2)

struct reader {
    struct ivshmem_link link;
    struct ivshmem_reader *part; /* the own one: written only */
    struct virtio_blk input;
    struct disk_requests requests;
    uint8_t *buffers; /* `batch` of part_len bytes: a disk reaches no window */
    uint32_t batch;
    uint64_t part_len;
    uint64_t filled;  /* slots */
    uint64_t emptied; /* slots, as the other machine said last */
    uint32_t echo;
};

static bool reader_open(struct reader *reader, const struct transport_setup *setup, struct error *error)
{
    RETURN_IF_FAILED(disk_open(&reader->input, 0, "input", setup, error));
    RETURN_IF_FAILED(disk_requests_make(&reader->requests, &reader->input, setup, error));
    reader->part_len = min_u64(setup->request_len, IVSHMEM_SLOT_LEN);
    uint64_t room = arena_left(setup->arena, LAYOUT_PAGE_LEN) / reader->part_len;
    reader->batch = (uint32_t)min_u64(room, BATCH_MAX);
    reader->buffers = arena_allocate(setup->arena, reader->batch * reader->part_len, LAYOUT_PAGE_LEN);
    return (reader->batch > 0 && reader->buffers != NULL) ||
           error_set(error, ERROR_LIMIT, NULL, "the machine that reads has no memory for a buffer");
}

/* Learns how far the other machine is, and answers it. */
static struct ivshmem_head writer_attend(struct reader *reader)
{
    struct ivshmem_head seen = ivshmem_link_look(&reader->link);
    if (seen.position < reader->emptied || seen.position > reader->filled) {
        panic("the machine that writes says that it has emptied %llu slots, after %llu of %llu",
              (unsigned long long)seen.position, (unsigned long long)reader->emptied,
              (unsigned long long)reader->filled);
    }
    reader->emptied = seen.position;
    if (seen.echo != reader->echo) {
        reader->echo = seen.echo;
        ivshmem_link_set_echo(&reader->link, seen.echo);
    }
    return seen;
}

/* Slots that can be filled; waits until there is one. */
static uint64_t room_wait(struct reader *reader)
{
    for (;;) { /* ends when the other machine has emptied a slot */
        struct ivshmem_head seen = writer_attend(reader);
        uint64_t room = IVSHMEM_SLOT_COUNT - (reader->filled - reader->emptied);
        if (room > 0) {
            return room;
        }
        ivshmem_link_wait(&reader->link, &seen);
    }
}

static void slot_fill(const struct reader *reader, uint64_t number, const struct disk_range *range)
{
    uint64_t place = number % IVSHMEM_SLOT_COUNT;
    uint8_t *slots = (uint8_t *)reader->part + IVSHMEM_SLOTS_OFF;
    memcpy(slots + place * IVSHMEM_SLOT_LEN, range->data, (size_t)range->len);
    reader->part->slot_lens[place] = (uint32_t)range->len;
}

static bool input_give(struct reader *reader, struct error *error)
{
    uint64_t len = reader->input.file_len;
    for (uint64_t off = 0; off < len;) { /* ends: no batch is empty */
        struct disk_range ranges[BATCH_MAX];
        uint32_t count = 0;
        uint64_t room = min_u64(room_wait(reader), reader->batch);
        for (; count < room && off < len; count++) {
            uint64_t part_len = min_u64(len - off, reader->part_len);
            ranges[count] = (struct disk_range){off, reader->buffers + count * reader->part_len, part_len};
            off += part_len;
        }
        RETURN_IF_FAILED(disk_requests_read(&reader->requests, &reader->input, ranges, count, error));
        for (uint32_t i = 0; i < count; i++) {
            slot_fill(reader, reader->filled + i, &ranges[i]);
        }
        reader->filled += count;
        ivshmem_link_set_position(&reader->link, reader->filled);
    }
    return true;
}

static void failure_tell(struct reader *reader, const struct error *error)
{
    reader->part->error_kind = error->kind;
    text_copy(reader->part->error_place, sizeof(reader->part->error_place), error->place);
    text_copy(reader->part->error_detail, sizeof(reader->part->error_detail), error->detail);
    ivshmem_link_set_state(&reader->link, IVSHMEM_FAILED);
}

NO_RETURN void ivshmem_serve(const struct transport_setup *setup)
{
    static struct reader reader;
    struct error error = {0};
    reader.part = (struct ivshmem_reader *)(uintptr_t)setup->boot->transport.windows[0].gpa;
    ivshmem_link_init(&reader.link, setup->boot);
    bool is_given = reader_open(&reader, setup, &error);
    if (is_given) {
        reader.part->input_len = reader.input.file_len;
        ivshmem_link_set_state(&reader.link, IVSHMEM_READY);
        is_given = input_give(&reader, &error);
    }
    if (!is_given) {
        failure_tell(&reader, &error);
    }
    for (;;) { /* the host ends this machine with the other one */
        struct ivshmem_head seen = writer_attend(&reader);
        ivshmem_link_wait(&reader.link, &seen);
    }
}
