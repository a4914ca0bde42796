/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine that writes, of the two of ivshmem (abi/transports/ivshmem.h): its input is what the other one has put
 * into slots, its output a disk of its own.
 */
#include <string.h>

#include "base/checked.h"
#include "guest/transports/disk_requests.h"
#include "guest/transports/ivshmem_link.h"
#include "guest/transports/transport_kinds.h"

struct ivshmem {
    struct transport transport; /* first */
    struct ivshmem_link link;
    const struct ivshmem_reader *part; /* the other machine's: untrusted, may change at any time */
    struct virtio_blk output;
    struct disk_requests requests;
    uint64_t filled;    /* slots, as the other machine said last */
    uint64_t emptied;   /* slots */
    uint64_t slot_len;  /* bytes in the slot that is being emptied; 0: not known yet */
    uint64_t slot_off;  /* bytes taken of it */
    uint64_t input_off; /* bytes taken of the input */
    uint32_t echo;
};

/* The other machine's reason why there is no more. */
static bool failure_take(const struct ivshmem *ivshmem, struct error *error)
{
    uint32_t kind = __atomic_load_n(&ivshmem->part->error_kind, __ATOMIC_RELAXED);
    char place[IVSHMEM_PLACE_LEN];
    char detail[IVSHMEM_DETAIL_LEN];
    memcpy(place, ivshmem->part->error_place, sizeof(place));
    memcpy(detail, ivshmem->part->error_detail, sizeof(detail));
    place[sizeof(place) - 1] = '\0';
    detail[sizeof(detail) - 1] = '\0';
    return error_set(error, kind != ERROR_NONE && kind <= ERROR_KIND_LAST ? (enum error_kind)kind : ERROR_GUEST, place,
                     "%s", detail[0] != '\0' ? detail : "the machine that reads failed and did not say why");
}

static bool reader_wait(struct ivshmem *ivshmem, struct error *error)
{
    struct ivshmem_head seen;
    while ((seen = ivshmem_link_look(&ivshmem->link)).state == IVSHMEM_STARTING) { /* ends: the other machine begins */
        ivshmem_link_wait(&ivshmem->link, &seen);
    }
    if (seen.state != IVSHMEM_READY) {
        return failure_take(ivshmem, error);
    }
    ivshmem->transport.input_len = __atomic_load_n(&ivshmem->part->input_len, __ATOMIC_RELAXED);
    return ivshmem->output.capacity_len >= ivshmem->transport.input_len ||
           error_set(error, ERROR_USAGE, "output", "has %llu bytes, less than the input's %llu",
                     (unsigned long long)ivshmem->output.capacity_len,
                     (unsigned long long)ivshmem->transport.input_len);
}

static bool ivshmem_open(const struct transport_setup *setup, struct transport **ret_transport, struct error *error)
{
    struct ivshmem *ivshmem = arena_allocate(setup->arena, sizeof(*ivshmem), _Alignof(struct ivshmem));
    if (ivshmem == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for a transport");
    }
    ivshmem->transport.operations = &ivshmem_transport;
    ivshmem->part = (const struct ivshmem_reader *)(uintptr_t)setup->boot->transport.windows[0].gpa;
    ivshmem_link_init(&ivshmem->link, setup->boot);
    RETURN_IF_FAILED(disk_open(&ivshmem->output, 1, "output", setup, error));
    RETURN_IF_FAILED(disk_requests_make(&ivshmem->requests, &ivshmem->output, setup, error));
    ivshmem->transport.is_output_zeroed = ivshmem->output.is_zeroed;
    RETURN_IF_FAILED(reader_wait(ivshmem, error));
    *ret_transport = &ivshmem->transport;
    return true;
}

/* Waits until there is a slot to empty. */
static bool slot_wait(struct ivshmem *ivshmem, struct error *error)
{
    while (ivshmem->filled == ivshmem->emptied) { /* ends when the other machine has filled a slot, or has failed */
        struct ivshmem_head seen = ivshmem_link_look(&ivshmem->link);
        if (seen.position < ivshmem->filled || seen.position - ivshmem->emptied > IVSHMEM_SLOT_COUNT) {
            return error_set(error, ERROR_GUEST, "ivshmem",
                             "the machine that reads says that it has filled %llu slots, after %llu, all empty",
                             (unsigned long long)seen.position, (unsigned long long)ivshmem->filled);
        }
        ivshmem->filled = seen.position;
        if (ivshmem->filled == ivshmem->emptied) {
            RETURN_IF_FAILED(seen.state == IVSHMEM_READY || failure_take(ivshmem, error));
            ivshmem_link_wait(&ivshmem->link, &seen);
        }
    }
    return true;
}

/* The next slot with something in it. */
static bool slot_begin(struct ivshmem *ivshmem, struct error *error)
{
    RETURN_IF_FAILED(slot_wait(ivshmem, error));
    uint32_t len = __atomic_load_n(&ivshmem->part->slot_lens[ivshmem->emptied % IVSHMEM_SLOT_COUNT], __ATOMIC_RELAXED);
    if (len == 0 || len > IVSHMEM_SLOT_LEN || len > ivshmem->transport.input_len - ivshmem->input_off) {
        return error_set(error, ERROR_GUEST, "ivshmem",
                         "the machine that reads says that a slot has %u bytes, at offset %llu of an input of %llu",
                         len, (unsigned long long)ivshmem->input_off, (unsigned long long)ivshmem->transport.input_len);
    }
    ivshmem->slot_len = len;
    ivshmem->slot_off = 0;
    return true;
}

static bool ivshmem_read(struct transport *transport, uint64_t off, void *data, uint64_t len, struct error *error)
{
    struct ivshmem *ivshmem = (struct ivshmem *)transport;
    (void)off; /* the next one */
    const uint8_t *slots = (const uint8_t *)ivshmem->part + IVSHMEM_SLOTS_OFF;
    for (uint64_t done_len = 0; done_len < len;) { /* ends: no slot is empty */
        RETURN_IF_FAILED(ivshmem->slot_len != 0 || slot_begin(ivshmem, error));
        uint64_t part_len = min_u64(len - done_len, ivshmem->slot_len - ivshmem->slot_off);
        memcpy((uint8_t *)data + done_len,
               slots + ivshmem->emptied % IVSHMEM_SLOT_COUNT * IVSHMEM_SLOT_LEN + ivshmem->slot_off, (size_t)part_len);
        done_len += part_len;
        ivshmem->slot_off += part_len;
        ivshmem->input_off += part_len;
        if (ivshmem->slot_off == ivshmem->slot_len) {
            ivshmem->slot_len = 0;
            ivshmem_link_set_position(&ivshmem->link, ++ivshmem->emptied);
        }
    }
    return true;
}

static bool ivshmem_write(struct transport *transport, uint64_t off, const void *data, uint64_t len,
                          struct error *error)
{
    struct ivshmem *ivshmem = (struct ivshmem *)transport;
    struct disk_range range = {off, (void *)(uintptr_t)data, len};
    return disk_requests_write(&ivshmem->requests, &ivshmem->output, &range, 1, error);
}

static bool ivshmem_flush(struct transport *transport, struct error *error)
{
    struct ivshmem *ivshmem = (struct ivshmem *)transport;
    return disk_requests_flush(&ivshmem->requests, &ivshmem->output, error);
}

static bool ivshmem_signal(struct transport *transport, uint32_t which, const char **ret_what, struct error *error)
{
    struct ivshmem *ivshmem = (struct ivshmem *)transport;
    (void)which;
    *ret_what = "answer of the other machine";
    ivshmem_link_set_echo(&ivshmem->link, ++ivshmem->echo);
    struct ivshmem_head seen;
    while ((seen = ivshmem_link_look(&ivshmem->link)).echo != ivshmem->echo) { /* ends: the other machine answers */
        RETURN_IF_FAILED(seen.state == IVSHMEM_READY || failure_take(ivshmem, error));
        ivshmem_link_wait(&ivshmem->link, &seen);
    }
    return true;
}

const struct transport_operations ivshmem_transport = {
    .name = "ivshmem",
    .id = TRANSPORT_IVSHMEM,
    .is_sequential = true,
    .open = ivshmem_open,
    .read = ivshmem_read,
    .write = ivshmem_write,
    .flush = ivshmem_flush,
    .signal_count = 1,
    .signal = ivshmem_signal,
    .serve = ivshmem_serve,
};
