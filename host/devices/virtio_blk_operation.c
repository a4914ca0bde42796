/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/virtio_blk_operation.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"

/* Operations collected in one call of the backend. */
#define REAP_MAX 64u

static void publish(struct virtio_blk *blk, unsigned int queue)
{
    if (virtqueue_publish(&blk->transport.queues[queue])) {
        virtio_mmio_notify(&blk->transport);
    }
}

void virtio_blk_request_answer(struct virtio_blk *blk, unsigned int queue, const struct virtio_blk_request *request,
                               uint8_t status, uint32_t written_len)
{
    if (status != VIRTIO_BLK_S_OK) {
        blk->statistics.failures++;
    }
    *request->status = status;
    virtqueue_put(&blk->transport.queues[queue], request->head, written_len + 1);
    publish(blk, queue);
}

void virtio_blk_written_note(struct virtio_blk *blk, uint64_t off, uint64_t len)
{
    /* The sum is within the device, or at its last, partial sector's end. */
    blk->unwritten_off = max_u64(blk->unwritten_off, off + len);
}

void virtio_blk_failure_note(struct virtio_blk *blk, unsigned int device, int errno_value, const char *what,
                             uint64_t number)
{
    if (blk->failure.errno_value == 0) {
        blk->failure = (struct virtio_blk_failure){.errno_value = errno_value, .device = device};
        snprintf(blk->failure.what, sizeof(blk->failure.what), "%s %" PRIu64, what, number);
    }
}

void virtio_blk_no_room_note(struct virtio_blk *blk)
{
    if (blk->failure.errno_value == 0) {
        blk->failure = (struct virtio_blk_failure){.errno_value = ENOSPC, .device = blk->index, .has_no_room = true};
    }
}

bool virtio_blk_room_take(struct virtio_blk *blk, uint64_t off, uint64_t len, uint64_t *ret_room_len)
{
    struct error error = {0};
    enum write_answer answer = write_room_take(&blk->room, off, len, ret_room_len);
    if (answer == WRITE_NO_ROOM) {
        virtio_blk_no_room_note(blk);
    } else if (answer == WRITE_OVER_LIMIT) {
        write_room_refuse(&blk->room, answer, &error);
        virtio_mmio_break(&blk->transport, &error);
    }
    return answer == WRITE_GRANTED;
}

static const char *operation_verb(enum backend_operation_kind kind)
{
    static const char *const verbs[] = {
        [BACKEND_READ] = "read at offset",
        [BACKEND_WRITE] = "write at offset",
        [BACKEND_FLUSH] = "flush at offset",
        [BACKEND_DISCARD] = "discard at offset",
        [BACKEND_WRITE_ZEROES] = "write zeros at offset",
    };
    return verbs[kind];
}

/* Pays what an operation owes; the guest sees it after the next publish. */
static void operation_finish(struct virtio_blk *blk, struct virtio_blk_operation *operation)
{
    int result = operation->backend.result;
    if (result != 0) {
        virtio_blk_failure_note(blk, blk->index, result, operation_verb(operation->backend.kind),
                                operation->backend.off);
    }
    write_room_stored(&blk->room, operation->room_len);
    for (unsigned int i = 0; i < operation->debt_count; i++) {
        const struct virtio_blk_debt *debt = &operation->debts[i];
        *debt->status = result == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
        virtqueue_put(&blk->transport.queues[operation->queue], debt->head, result == 0 ? debt->written_len : 1);
    }
    if (result != 0) {
        blk->statistics.failures += operation->debt_count;
    } else if (operation->backend.kind == BACKEND_READ) {
        blk->statistics.bytes_read += operation->backend.len;
    } else if (operation->backend.kind == BACKEND_WRITE) {
        blk->statistics.bytes_written += operation->backend.len;
    }
    operation->next_free = blk->free_operations;
    blk->free_operations = operation;
    blk->operation_free_count++;
}

static struct virtio_blk_operation *operation_take(struct virtio_blk *blk, unsigned int queue,
                                                   enum backend_operation_kind kind, uint64_t off)
{
    assert(blk->operation_free_count > 0);
    struct virtio_blk_operation *operation = blk->free_operations;
    if (operation != NULL) {
        blk->free_operations = operation->next_free;
    } else {
        operation = &blk->operations[blk->operation_count++];
    }
    blk->operation_free_count--;
    operation->queue = queue;
    operation->room_len = 0;
    operation->debt_count = 0;
    operation->backend =
        (struct backend_operation){.kind = kind, .off = off, .iov = operation->iov, .owner = operation};
    return operation;
}

static void debt_add(struct virtio_blk_operation *operation, const struct virtio_blk_request *request,
                     uint32_t written_len)
{
    operation->room_len += request->room_len;
    operation->debts[operation->debt_count++] =
        (struct virtio_blk_debt){.head = request->head, .written_len = written_len + 1, .status = request->status};
}

void virtio_blk_operation_start(struct virtio_blk *blk, struct virtio_blk_operation **open)
{
    struct virtio_blk_operation *operation = *open;
    if (operation == NULL) {
        return;
    }
    *open = NULL;
    blk->statistics.operations++;
    if (backend_start(blk->backend, &operation->backend)) {
        unsigned int queue = operation->queue;
        operation_finish(blk, operation);
        publish(blk, queue);
    } else {
        blk->in_flight_count++;
    }
}

/* Appends memory to an operation's vectors; memory that continues the last vector needs no new one. */
static void vector_add(struct virtio_blk_operation *operation, uint8_t *memory, size_t len)
{
    struct backend_operation *backend = &operation->backend;
    struct iovec *last = backend->iov_count > 0 ? &operation->iov[backend->iov_count - 1] : NULL;
    if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == memory) {
        last->iov_len += len;
    } else {
        operation->iov[backend->iov_count++] = (struct iovec){memory, len};
    }
    backend->len += len;
}

static bool continues(const struct virtio_blk_operation *operation, unsigned int queue,
                      enum backend_operation_kind kind, uint64_t off, const struct virtio_blk_request *request)
{
    return operation->queue == queue && operation->backend.kind == kind &&
           operation->backend.off + operation->backend.len == off &&
           operation->backend.len + request->data_len <= VIRTIO_BLK_MERGE_LEN_MAX &&
           operation->backend.iov_count + request->data_count <= BACKEND_IOV_MAX &&
           operation->debt_count < VIRTIO_BLK_MERGE_REQUEST_MAX;
}

/*
 * The file may end within its last sector. What lies behind its end is not transferred: it reads as zero, and
 * writing it does nothing.
 */
static void data_add(struct virtio_blk *blk, struct virtio_blk_operation *operation,
                     const struct virtio_blk_request *request, uint64_t off)
{
    uint64_t left_len = blk->backend->len - off;
    for (unsigned int i = 0; i < request->data_count; i++) {
        uint8_t *memory = request->data[i].iov_base;
        size_t len = request->data[i].iov_len;
        size_t inside_len = (size_t)min_u64(len, left_len);
        if (inside_len > 0) {
            vector_add(operation, memory, inside_len);
        }
        if (request->data_is_writable) {
            memset(memory + inside_len, 0, len - inside_len);
        }
        left_len -= inside_len;
    }
}

void virtio_blk_operation_transfer(struct virtio_blk *blk, unsigned int queue, const struct virtio_blk_request *request,
                                   struct virtio_blk_operation **open)
{
    enum backend_operation_kind kind = request->data_is_writable ? BACKEND_READ : BACKEND_WRITE;
    uint64_t off = request->sector * VIRTIO_BLK_SECTOR_LEN;
    if (*open != NULL && continues(*open, queue, kind, off, request)) {
        blk->statistics.merges++;
    } else {
        struct virtio_blk_operation *operation = operation_take(blk, queue, kind, off);
        virtio_blk_operation_start(blk, open);
        *open = operation;
    }
    data_add(blk, *open, request, off);
    debt_add(*open, request, request->data_is_writable ? (uint32_t)request->data_len : 0);
}

void virtio_blk_operation_command(struct virtio_blk *blk, unsigned int queue, const struct virtio_blk_request *request,
                                  enum backend_operation_kind kind, bool may_unmap, uint64_t off, uint64_t len)
{
    struct virtio_blk_operation *operation = operation_take(blk, queue, kind, off);
    operation->backend.len = len;
    operation->backend.may_unmap = may_unmap;
    debt_add(operation, request, 0);
    virtio_blk_operation_start(blk, &operation);
}

void virtio_blk_operations_reap(struct virtio_blk *blk, bool wait)
{
    do {
        struct backend_operation *finished[REAP_MAX];
        unsigned int count = blk->in_flight_count > 0 ? backend_reap(blk->backend, finished, REAP_MAX, wait) : 0;
        if (count == 0) {
            return;
        }
        bool queue_changed[VIRTIO_QUEUE_MAX] = {false};
        for (unsigned int i = 0; i < count; i++) {
            struct virtio_blk_operation *operation = finished[i]->owner;
            queue_changed[operation->queue] = true;
            operation_finish(blk, operation);
        }
        blk->in_flight_count -= count;
        for (unsigned int i = 0; i < blk->transport.queue_count; i++) {
            if (queue_changed[i]) {
                publish(blk, i);
            }
        }
    } while (true);
}
