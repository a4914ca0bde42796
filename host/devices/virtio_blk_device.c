/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/virtio_blk_device.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "abi/virtio_mmio.h"
#include "base/checked.h"
#include "host/backends/backend_copy.h"
#include "host/devices/virtio_blk_operation.h"
#include "host/devices/virtio_blk_private.h"

#define COMMON_FEATURES                                                                                               \
    (VIRTIO_BLK_F_SIZE_MAX | VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_TOPOLOGY | VIRTIO_BLK_F_MQ | \
     VIRTIO_BLK_F_INSTAR)
#define WRITABLE_FEATURES (VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES)

/* A range of DISCARD and WRITE_ZEROES: 2 GiB, so that one request does not hold the thread for long. */
#define RANGE_SECTORS_MAX (4u * 1024u * 1024u)

static void get_id_answer(struct virtio_blk *blk, unsigned int queue, const struct virtio_blk_request *request)
{
    bool fits = request->data_is_writable && request->data_len >= VIRTIO_BLK_ID_LEN;
    if (fits) {
        virtio_blk_request_fill(request, 0, blk->id, VIRTIO_BLK_ID_LEN);
    }
    virtio_blk_request_answer(blk, queue, request, fits ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR,
                              fits ? VIRTIO_BLK_ID_LEN : 0);
}

/* Takes what a request stores. When that may not be, the request is answered, and not executed. */
static bool write_account(struct virtio_blk *blk, unsigned int queue, struct virtio_blk_request *request, uint64_t off,
                          uint64_t len)
{
    if (virtio_blk_room_take(blk, off, len, &request->room_len)) {
        return true;
    }
    /* In this order, so that a limit is the machine's end, and not what the guest makes of the answer. */
    virtio_blk_request_answer(blk, queue, request, VIRTIO_BLK_S_IOERR, 0);
    return false;
}

static void transfer(struct virtio_blk *blk, unsigned int queue, struct virtio_blk_request *request,
                     struct virtio_blk_operation **open)
{
    bool is_read = request->type == VIRTIO_BLK_T_IN;
    if (request->data_is_writable != is_read || (!is_read && !blk->backend->writable) ||
        !virtio_blk_request_is_within(request, blk->capacity_sectors)) {
        virtio_blk_request_answer(blk, queue, request, VIRTIO_BLK_S_IOERR, 0);
        return;
    }
    uint64_t off = request->sector * VIRTIO_BLK_SECTOR_LEN;
    if (is_read || write_account(blk, queue, request, off, request->data_len)) {
        if (!is_read) {
            virtio_blk_written_note(blk, off, request->data_len);
        }
        virtio_blk_operation_transfer(blk, queue, request, open);
    }
}

/* DISCARD and WRITE_ZEROES (5.2.6.2): one range, whose flags we know, within the device. */
static void range_command(struct virtio_blk *blk, unsigned int queue, struct virtio_blk_request *request)
{
    bool is_discard = request->type == VIRTIO_BLK_T_DISCARD;
    uint64_t feature = is_discard ? VIRTIO_BLK_F_DISCARD : VIRTIO_BLK_F_WRITE_ZEROES;
    uint32_t known_flags = is_discard ? 0 : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
    struct virtio_blk_range range;
    if (!blk->backend->writable || !virtio_blk_request_data(request, &range, sizeof(range))) {
        virtio_blk_request_answer(blk, queue, request, VIRTIO_BLK_S_IOERR, 0);
        return;
    }
    if ((blk->transport.negotiated & feature) == 0 || (range.flags & ~known_flags) != 0) {
        virtio_blk_request_answer(blk, queue, request, VIRTIO_BLK_S_UNSUPP, 0);
        return;
    }
    if (range.num_sectors == 0 || range.num_sectors > RANGE_SECTORS_MAX ||
        !range_is_within(range.sector, range.num_sectors, blk->capacity_sectors)) {
        virtio_blk_request_answer(blk, queue, request, VIRTIO_BLK_S_IOERR, 0);
        return;
    }
    uint64_t off = range.sector * VIRTIO_BLK_SECTOR_LEN;
    uint64_t len = min_u64(range.num_sectors * VIRTIO_BLK_SECTOR_LEN, blk->backend->len - off);
    bool may_store = !is_discard && ((range.flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) == 0 || blk->zeros_are_written);
    if (may_store && !write_account(blk, queue, request, off, len)) {
        return;
    }
    virtio_blk_operation_command(blk, queue, request, is_discard ? BACKEND_DISCARD : BACKEND_WRITE_ZEROES,
                                 range.flags != 0, off, len);
}

static void flush_command(struct virtio_blk *blk, unsigned int queue, const struct virtio_blk_request *request)
{
    if ((blk->transport.negotiated & VIRTIO_BLK_F_FLUSH) == 0) {
        virtio_blk_request_answer(blk, queue, request, VIRTIO_BLK_S_UNSUPP, 0);
        return;
    }
    virtio_blk_operation_command(blk, queue, request, BACKEND_FLUSH, false, 0, 0);
}

static void request_execute(struct virtio_blk *blk, unsigned int queue, struct virtio_blk_request *request,
                            struct virtio_blk_operation **open)
{
    switch (request->type) {
    case VIRTIO_BLK_T_IN:
        blk->statistics.reads++;
        transfer(blk, queue, request, open);
        return;
    case VIRTIO_BLK_T_OUT:
        blk->statistics.writes++;
        transfer(blk, queue, request, open);
        return;
    case VIRTIO_BLK_T_FLUSH:
        blk->statistics.flushes++;
        flush_command(blk, queue, request);
        return;
    case VIRTIO_BLK_T_GET_ID:
        blk->statistics.get_ids++;
        get_id_answer(blk, queue, request);
        return;
    case VIRTIO_BLK_T_DISCARD:
        blk->statistics.discards++;
        range_command(blk, queue, request);
        return;
    case VIRTIO_BLK_T_WRITE_ZEROES:
        blk->statistics.write_zeroes++;
        range_command(blk, queue, request);
        return;
    default:
        virtio_blk_operation_start(blk, open);
        if (!virtio_blk_private_execute(blk, queue, request)) {
            virtio_blk_request_answer(blk, queue, request, VIRTIO_BLK_S_UNSUPP, 0);
        }
        return;
    }
}

/* A transfer keeps one operation open and needs another for its successor: two must be free to go on. */
static bool has_room(const struct virtio_blk *blk)
{
    return blk->operation_free_count >= 2;
}

/* Takes up to `available` chains; fewer when operations run out: the rest waits in the ring for the next reap. */
static bool batch_execute(struct virtio_blk *blk, unsigned int queue, unsigned int available, struct error *error)
{
    struct virtio_blk_operation *open = NULL;
    bool is_sound = true;
    blk->statistics.batches++;
    for (unsigned int i = 0; i < available && has_room(blk) && is_sound; i++) {
        struct virtio_blk_request request;
        is_sound = virtqueue_take(&blk->transport.queues[queue], &blk->chain, error) &&
                   virtio_blk_request_parse(&blk->chain, &request, error);
        if (is_sound) {
            request_execute(blk, queue, &request, &open);
        }
    }
    virtio_blk_operation_start(blk, &open);
    backend_submit(blk->backend);
    return is_sound;
}

/*
 * Serves a queue until it is empty. Ends also when a guest fills it as fast as we drain it: as soon as the
 * machine has ended.
 */
static bool queue_drain(struct virtio_blk *blk, unsigned int index, struct error *error)
{
    struct virtqueue *queue = &blk->transport.queues[index];
    bool asked_for_kicks = false;
    while (has_room(blk) && !blk->transport.machine->has_ended) {
        unsigned int available;
        RETURN_IF_FAILED(virtqueue_available(queue, &available, error));
        if (available > 0) {
            asked_for_kicks = false;
            RETURN_IF_FAILED(batch_execute(blk, index, available, error));
        } else if (!asked_for_kicks) {
            virtqueue_want_kicks(queue);
            asked_for_kicks = true;
        } else {
            return true;
        }
    }
    return true;
}

/* Under the lock. */
static void queues_drain(struct virtio_blk *blk)
{
    struct error error = {0};
    for (unsigned int i = 0; i < blk->transport.queue_count; i++) {
        if (!virtio_mmio_is_active(&blk->transport)) {
            return;
        }
        if (blk->transport.queues[i].is_enabled && !queue_drain(blk, i, &error)) {
            virtio_mmio_break(&blk->transport, &error);
        }
    }
}

static void kick_handle(void *context, int fd)
{
    struct virtio_blk *blk = context;
    eventfd_t kicks = 0;
    eventfd_read(fd, &kicks);
    pthread_mutex_lock(&blk->transport.lock);
    blk->statistics.kicks += kicks;
    queues_drain(blk);
    pthread_mutex_unlock(&blk->transport.lock);
}

static void backend_event_handle(void *context, int fd)
{
    struct virtio_blk *blk = context;
    eventfd_t events;
    eventfd_read(fd, &events);
    pthread_mutex_lock(&blk->transport.lock);
    virtio_blk_operations_reap(blk, false);
    /* Requests may wait in the rings for want of a free operation. */
    queues_drain(blk);
    pthread_mutex_unlock(&blk->transport.lock);
}

static bool blk_activate(struct virtio_mmio *transport, struct error *error)
{
    for (unsigned int i = 0; i < transport->queue_count; i++) {
        if (transport->queues[i].is_enabled) {
            return true;
        }
    }
    return error_set(error, ERROR_GUEST, NULL, "the driver started without a queue");
}

static void blk_settle(struct virtio_mmio *transport)
{
    virtio_blk_operations_reap((struct virtio_blk *)transport, true);
}

static const struct virtio_device_operations blk_operations = {
    .device_id = VIRTIO_DEVICE_ID_BLOCK,
    .activate = blk_activate,
    .settle = blk_settle,
};

static void config_publish(struct virtio_blk *blk, const struct virtio_blk_medium *medium)
{
    bool writable = medium->backend->writable;
    struct virtio_blk_config config = {
        .capacity = blk->capacity_sectors,
        .size_max = VIRTIO_BLK_SEGMENT_LEN_MAX,
        .seg_max = VIRTIO_BLK_SEGMENT_MAX,
        .blk_size = medium->sector_len,
        .topology = {.min_io_size = 1,
                     .opt_io_size = (uint32_t)max_u64(VIRTIO_BLK_MERGE_LEN_MAX / medium->sector_len, 1)},
        .num_queues = (uint16_t)blk->transport.queue_count,
        .max_discard_sectors = writable ? RANGE_SECTORS_MAX : 0,
        .max_discard_seg = writable,
        .discard_sector_alignment = 1,
        .max_write_zeroes_sectors = writable ? RANGE_SECTORS_MAX : 0,
        .max_write_zeroes_seg = writable,
        .write_zeroes_may_unmap = writable,
    };
    struct virtio_blk_instar_config instar_config = {
        .file_len = blk->backend->len,
        .flags = (medium->zeroed ? VIRTIO_BLK_INSTAR_ZEROED : 0) |
                 (medium->is_resizable ? VIRTIO_BLK_INSTAR_RESIZABLE : 0) |
                 (medium->is_copy_target ? VIRTIO_BLK_INSTAR_COPY_TARGET : 0) |
                 (medium->finds_zeros ? VIRTIO_BLK_INSTAR_FINDS_ZEROS : 0),
        .allocated_len = medium->allocated_len,
    };
    virtio_mmio_set_config(&blk->transport, 0, &config, sizeof(config));
    virtio_mmio_set_config(&blk->transport, VIRTIO_BLK_INSTAR_CONFIG_OFF, &instar_config, sizeof(instar_config));
}

static bool operations_make(struct virtio_blk *blk, unsigned int count, struct error *error)
{
    blk->operations = calloc(count, sizeof(*blk->operations));
    blk->operation_free_count = count;
    return blk->operations != NULL || error_set(error, ERROR_HOST, NULL, "out of memory");
}

static bool kicks_watch(struct virtio_blk *blk, struct error *error)
{
    for (unsigned int i = 0; i < blk->transport.queue_count; i++) {
        RETURN_IF_FAILED(io_thread_add(blk->thread, blk->transport.kick_fds[i], kick_handle, blk, error));
    }
    return true;
}

bool virtio_blk_init(struct virtio_blk *blk, struct machine *machine, const struct virtio_blk_setup *setup,
                     struct error *error)
{
    *blk = (struct virtio_blk){
        .thread = setup->thread, .index = setup->index, .peers = setup->peers, .copy_helper = setup->copy_helper};
    struct virtio_mmio_config transport_config = {
        .operations = &blk_operations,
        .name = "disk",
        .index = setup->index,
        .queue_count = setup->queue_count,
        .use_ioeventfd = setup->use_ioeventfd,
        .bank = setup->bank,
        .is_late = setup->is_late,
    };
    RETURN_IF_FAILED(virtio_mmio_init(&blk->transport, machine, &transport_config, error));
    unsigned int operation_count = setup->is_late ? VIRTIO_BLK_LATE_OPERATION_COUNT : VIRTIO_BLK_OPERATION_MAX;
    if (operations_make(blk, operation_count, error) && (setup->is_late || kicks_watch(blk, error))) {
        return true;
    }
    virtio_blk_release(blk);
    return false;
}

bool virtio_blk_attach(struct virtio_blk *blk, const struct virtio_blk_medium *medium, struct error *error)
{
    assert(medium->backend->writable || !(medium->is_resizable || medium->is_copy_target));
    assert(blk->peers != NULL || !medium->is_copy_target);
    if (medium->is_copy_target) {
        RETURN_IF_FAILED(backend_copy_prepare(medium->backend, error));
    }
    if (medium->backend->event_fd >= 0) {
        RETURN_IF_FAILED(io_thread_add(blk->thread, medium->backend->event_fd, backend_event_handle, blk, error));
    }
    blk->backend = medium->backend;
    blk->sector_len = medium->sector_len;
    blk->room = medium->room;
    blk->zeros_are_written = medium->zeros_are_written;
    blk->capacity_sectors = virtio_blk_sectors(medium->backend->len);
    blk->unwritten_off = medium->zeroed ? 0 : UINT64_MAX;
    blk->is_resizable = medium->is_resizable;
    blk->is_copy_target = medium->is_copy_target;
    blk->finds_zeros = medium->finds_zeros;
    blk->transport.name = medium->name;
    /* GET_ID answers with a string that need not be terminated (5.2.6.1). */
    memcpy(blk->id, medium->name, strnlen(medium->name, sizeof(blk->id)));
    config_publish(blk, medium);
    virtio_mmio_attach(&blk->transport,
                       COMMON_FEATURES | (medium->backend->writable ? WRITABLE_FEATURES : VIRTIO_BLK_F_RO));
    if (blk->peers != NULL) {
        atomic_store_explicit(&blk->peers->backends[blk->index], medium->backend, memory_order_release);
    }
    return true;
}

void virtio_blk_serve(struct virtio_blk *blk)
{
    pthread_mutex_lock(&blk->transport.lock);
    blk->statistics.kicks++;
    queues_drain(blk);
    pthread_mutex_unlock(&blk->transport.lock);
}

void virtio_blk_settle(struct virtio_blk *blk)
{
    pthread_mutex_lock(&blk->transport.lock);
    virtio_blk_operations_reap(blk, true);
    pthread_mutex_unlock(&blk->transport.lock);
}

void virtio_blk_release(struct virtio_blk *blk)
{
    virtio_mmio_release(&blk->transport);
    free(blk->operations);
}
