/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/streams.h"

#include "abi/transports/vsock.h"
#include "guest/drivers/console_ports_driver.h"
#include "guest/drivers/virtio_vsock_driver.h"
#include "tests/hostile/raw_ring.h"

#define DATA_LEN_MAX 65536u

static struct vsock_device device;
static struct vsock_connection output;
static struct console_ports ports;
static bool is_console;

static void check(bool success, const struct error *error)
{
    if (!success) {
        attack_fail(error->detail);
    }
}

static bool vsock_start(struct runtime *runtime, struct error *error)
{
    struct vsock_setup setup = {
        .registers_gpa = LAYOUT_REGISTERS_DEVICE_GPA(0),
        .type = runtime->boot->transport.variant == VSOCK_VARIANT_SEQPACKET ? VIRTIO_VSOCK_TYPE_SEQPACKET
                                                                            : VIRTIO_VSOCK_TYPE_STREAM,
        .message_len_max = VSOCK_MESSAGE_LEN_MAX,
        .rings = &runtime->queues,
        .arena = &runtime->arena,
    };
    return vsock_open(&device, &setup, error) &&
           vsock_connect(&device, &output, VSOCK_OUTPUT_PORT, &runtime->arena, error);
}

static bool console_start(struct runtime *runtime, struct error *error)
{
    struct console_ports_setup setup = {
        .registers_gpa = LAYOUT_REGISTERS_DEVICE_GPA(0),
        .request_len = DATA_LEN_MAX,
        .depth = 2,
        .rings = &runtime->queues,
        .arena = &runtime->arena,
    };
    return console_ports_open(&ports, &setup, error);
}

void streams_open(struct runtime *runtime)
{
    struct error error = {0};
    is_console = runtime->boot->transport.id == TRANSPORT_CONSOLE;
    check(is_console ? console_start(runtime, &error) : vsock_start(runtime, &error), &error);
}

void streams_send(const void *data, uint64_t len)
{
    struct error error = {0};
    check(is_console ? console_port_send(&ports, CONSOLE_PORT_OUTPUT, data, len, &error)
                     : vsock_send(&output, data, len, &error),
          &error);
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
    check(is_console ? console_port_receive(&ports, CONSOLE_PORT_OUTPUT, reply, sizeof(*reply), &error)
                     : vsock_receive(&output, reply, sizeof(*reply), &error),
          &error);
    return *reply;
}
