/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/drivers/fuse_client.h"

#include <string.h>

#include "abi/ports.h"
#include "base/checked.h"
#include "guest/runtime/platform.h"
#include "guest/runtime/runtime.h"

/* As for a disk (virtio_blk_driver.c): longer polls would take time away from who answers. */
#define POLL_US 10u
#define TSC_KHZ_GUESS 2000000u

/* Header, arguments, name or data; header, answer, room. */
#define PARTS_MAX 6u
/* Requests of a transfer; more would not make a server faster. */
#define QUEUE_SIZE 64u
/* A server that takes less than a page at once is none; more than this is not asked for. */
#define TRANSFER_LEN_MAX (1u << 20)
/* Whose requests these are: root's, as nobody else is in the machine. */
#define PROCESS_NUMBER 1u

static void part_add(struct virtqueue_part *parts, uint16_t *count, const void *memory, uint32_t len,
                     bool device_writes)
{
    if (len > 0) {
        parts[(*count)++] = (struct virtqueue_part){(uint64_t)(uintptr_t)memory, len, device_writes};
    }
}

void fuse_client_submit(struct fuse_client *client, struct fuse_request *request, const struct fuse_call *call)
{
    struct virtqueue_part parts[PARTS_MAX];
    uint16_t count = 0;
    uint32_t name_len = call->name != NULL ? (uint32_t)strlen(call->name) + 1 : 0;
    uint32_t data_len = call->data != NULL ? call->data_len : 0;
    if (fuse_client_room(client) == 0 || name_len > sizeof(request->name) ||
        call->arguments_len > sizeof(request->arguments) || call->answer_len > sizeof(request->shared_answer)) {
        panic("%s: a request that cannot be", client->mmio.name);
    }
    request->in = (struct fuse_in_header){
        .len = (uint32_t)sizeof(request->in) + call->arguments_len + name_len + data_len,
        .opcode = call->opcode,
        .unique = ++client->last_unique,
        .node = call->node,
        .pid = PROCESS_NUMBER,
    };
    memcpy(request->arguments, call->arguments, call->arguments_len);
    memcpy(request->name, call->name, name_len);
    request->unique = client->last_unique;
    request->answer_len = call->answer_len;
    request->room_len = call->room != NULL ? call->data_len : 0;
    request->is_done = false;
    part_add(parts, &count, &request->in, sizeof(request->in), false);
    part_add(parts, &count, request->arguments, call->arguments_len, false);
    part_add(parts, &count, request->name, name_len, false);
    part_add(parts, &count, call->data, data_len, false);
    part_add(parts, &count, &request->out, sizeof(request->out), true);
    part_add(parts, &count, &request->shared_answer, call->answer_len, true);
    part_add(parts, &count, call->room, request->room_len, true);
    virtqueue_add(&client->queue, parts, count, request);
}

void fuse_client_kick(struct fuse_client *client)
{
    if (virtqueue_publish(&client->queue)) {
        virtio_mmio_notify(&client->mmio, VIRTIO_FS_QUEUE_REQUESTS);
    }
}

static bool poll(const struct fuse_client *client)
{
    uint64_t start = platform_ticks();
    while (!virtqueue_has_used(&client->queue)) {
        if (platform_ticks() - start >= client->poll_ticks) {
            return false;
        }
        platform_relax();
    }
    return true;
}

bool fuse_client_wait(struct fuse_client *client, struct error *error)
{
    /* Nothing bounds this wait but the host, which ends a job whose server does not answer. */
    while (!poll(client)) {
        RETURN_IF_FAILED(virtio_mmio_check(&client->mmio, error));
        virtqueue_arm(&client->queue);
        if (!virtqueue_has_used(&client->queue)) {
            platform_wait(WAIT_COMPLETION);
        }
        virtqueue_disarm(&client->queue);
    }
    return true;
}

bool fuse_client_reap(struct fuse_client *client, struct fuse_request **ret_request, struct error *error)
{
    void *token = NULL;
    uint32_t written_len = 0;
    switch (virtqueue_take(&client->queue, &token, &written_len)) {
    case VIRTQUEUE_EMPTY:
        *ret_request = NULL;
        return true;
    case VIRTQUEUE_TAKEN:
        *ret_request = token;
        (*ret_request)->is_done = true;
        (*ret_request)->written_len = written_len;
        return true;
    case VIRTQUEUE_BROKEN:
    default:
        return error_set(error, ERROR_GUEST, client->mmio.name, "the server broke its queue");
    }
}

bool fuse_client_result(const struct fuse_client *client, const struct fuse_request *request,
                        struct fuse_result *ret_result, struct error *error)
{
    const char *name = client->mmio.name;
    struct fuse_out_header out;
    memcpy(&out, &request->out, sizeof(out)); /* once: the server may still write there */
    if (request->written_len < sizeof(out) || out.len != request->written_len || out.unique != request->unique) {
        return error_set(error, ERROR_MALFORMED, name, "the server's answer to request %u is none", request->in.opcode);
    }
    if (out.error > 0 || out.error < -FUSE_ERRNO_MAX) {
        return error_set(error, ERROR_MALFORMED, name, "the server answers with the error %d", out.error);
    }
    *ret_result = (struct fuse_result){.errno_value = -out.error};
    if (out.error != 0) {
        return true;
    }
    uint32_t len = out.len - (uint32_t)sizeof(out);
    if (len < request->answer_len || len - request->answer_len > request->room_len) {
        return error_set(error, ERROR_MALFORMED, name, "the server's answer to request %u has %u bytes",
                         request->in.opcode, len);
    }
    ret_result->data_len = len - request->answer_len;
    memcpy(&ret_result->answer, &request->shared_answer, request->answer_len);
    return true;
}

bool fuse_client_call(struct fuse_client *client, struct fuse_request *request, const struct fuse_call *call,
                      struct fuse_result *ret_result, struct error *error)
{
    fuse_client_submit(client, request, call);
    fuse_client_kick(client);
    while (!request->is_done) { /* ends: nothing else is in flight */
        struct fuse_request *reaped;
        RETURN_IF_FAILED(fuse_client_wait(client, error));
        RETURN_IF_FAILED(fuse_client_reap(client, &reaped, error));
    }
    return fuse_client_result(client, request, ret_result, error);
}

static bool queue_open(struct fuse_client *client, const struct fuse_client_setup *setup, struct error *error)
{
    uint32_t size_max = virtio_mmio_select_queue(&client->mmio, VIRTIO_FS_QUEUE_REQUESTS);
    struct virtqueue_setup queue = {
        .size = QUEUE_SIZE,
        .parts_max = PARTS_MAX,
        .event_idx = (client->mmio.features & VIRTIO_F_EVENT_IDX) != 0,
        .rings = setup->rings,
        .arena = setup->arena,
    };
    if (size_max < QUEUE_SIZE || !virtqueue_init(&client->queue, &queue)) {
        return error_set(error, ERROR_HOST, setup->name, "no memory for a queue, or no queue");
    }
    struct virtio_mmio_queue addresses = {
        .desc_gpa = (uint64_t)(uintptr_t)client->queue.desc,
        .driver_gpa = (uint64_t)(uintptr_t)client->queue.avail,
        .device_gpa = (uint64_t)(uintptr_t)client->queue.used,
        .size = client->queue.size,
    };
    virtio_mmio_setup_queue(&client->mmio, &addresses);
    return virtio_mmio_start(&client->mmio, error);
}

static bool agree(struct fuse_client *client, struct fuse_request *request, struct error *error)
{
    struct fuse_init_in init = {
        .major = FUSE_MAJOR,
        .minor = FUSE_MINOR,
        .flags = FUSE_INIT_ASYNC_READ | FUSE_INIT_BIG_WRITES | FUSE_INIT_MAX_PAGES,
    };
    struct fuse_call call = {
        .opcode = FUSE_INIT,
        .arguments = &init,
        .arguments_len = sizeof(init),
        .answer_len = sizeof(struct fuse_init_out),
    };
    struct fuse_result result;
    RETURN_IF_FAILED(fuse_client_call(client, request, &call, &result, error));
    const struct fuse_init_out *answer = &result.answer.init;
    if (result.errno_value != 0 || answer->major != FUSE_MAJOR || answer->minor < FUSE_MINOR_MIN) {
        return error_set(error, ERROR_UNSUPPORTED, client->mmio.name, "the server speaks FUSE %u.%u, with the error %d",
                         answer->major, answer->minor, result.errno_value);
    }
    uint64_t pages_len =
        (answer->flags & FUSE_INIT_MAX_PAGES) != 0 ? (uint64_t)answer->max_pages * FUSE_PAGE_LEN : TRANSFER_LEN_MAX;
    uint64_t len = min_u64(min_u64(answer->max_write, pages_len), TRANSFER_LEN_MAX);
    client->transfer_len = (uint32_t)round_down(len, FUSE_PAGE_LEN);
    return client->transfer_len > 0 ||
           error_set(error, ERROR_MALFORMED, client->mmio.name, "the server takes %u bytes at once", answer->max_write);
}

bool fuse_client_open(struct fuse_client *client, const struct fuse_client_setup *setup, struct error *error)
{
    uint64_t tsc_khz = setup->tsc_khz != 0 ? setup->tsc_khz : TSC_KHZ_GUESS;
    *client = (struct fuse_client){.poll_ticks = tsc_khz * POLL_US / 1000};
    struct virtio_mmio_open open = {
        .name = setup->name,
        .registers_gpa = setup->registers_gpa,
        .device_id = VIRTIO_DEVICE_ID_FS,
        .features = {VIRTIO_F_EVENT_IDX, VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC},
        .memory = setup->rings,
    };
    RETURN_IF_FAILED(virtio_mmio_open(&client->mmio, &open, error));
    RETURN_IF_FAILED(queue_open(client, setup, error));
    struct fuse_request *request = arena_allocate(setup->arena, sizeof(*request), _Alignof(struct fuse_request));
    return request != NULL ? agree(client, request, error)
                           : error_set(error, ERROR_LIMIT, setup->name, "the machine has no memory for a request");
}
