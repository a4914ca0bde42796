/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/streams.h"

#include "abi/transports/vsock.h"
#include "guest/drivers/virtio_vsock.h"
#include "tests/hostile/raw_ring.h"

#define DATA_LEN_MAX 65536u

static struct vsock_device device;
static struct vsock_connection output;

static void check(bool success, const struct error *error)
{
    if (!success) {
        attack_fail(error->detail);
    }
}

void streams_open(struct runtime *runtime)
{
    struct error error = {0};
    struct vsock_setup setup = {
        .registers_gpa = runtime->boot->devices[0].registers_gpa,
        .type = runtime->boot->transport.variant == VSOCK_VARIANT_SEQPACKET ? VIRTIO_VSOCK_TYPE_SEQPACKET
                                                                            : VIRTIO_VSOCK_TYPE_STREAM,
        .message_len_max = VSOCK_MESSAGE_LEN_MAX,
        .rings = &runtime->queues,
        .arena = &runtime->arena,
    };
    check(vsock_open(&device, &setup, &error) &&
              vsock_connect(&device, &output, VSOCK_OUTPUT_PORT, &runtime->arena, &error),
          &error);
}

void streams_send(const void *data, uint64_t len)
{
    struct error error = {0};
    check(vsock_send(&output, data, len, &error), &error);
}

void streams_request(struct runtime *runtime, uint32_t kind, uint64_t len, uint64_t data_len)
{
    static struct stream_request *request;
    static uint8_t *data;
    if (request == NULL) {
        request = raw_memory(runtime, sizeof(*request));
        data = raw_memory(runtime, DATA_LEN_MAX);
    }
    *request = (struct stream_request){.kind = kind, .len = len};
    streams_send(request, sizeof(*request));
    streams_send(data, data_len);
}

struct stream_reply streams_reply(struct runtime *runtime)
{
    struct error error = {0};
    struct stream_reply *reply = raw_memory(runtime, sizeof(*reply));
    check(vsock_receive(&output, reply, sizeof(*reply), &error), &error);
    return *reply;
}
