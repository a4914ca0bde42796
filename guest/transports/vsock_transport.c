/* SPDX-License-Identifier: Apache-2.0 */
/* The transport vsock (abi/transports/vsock.h): the two streams as connections of a virtio-vsock device. */
#include "abi/transports/vsock.h"
#include "guest/drivers/device_queue.h"
#include "guest/drivers/virtio_vsock_driver.h"
#include "guest/transports/stream_transport.h"
#include "guest/transports/transport_kinds.h"

struct vsock {
    struct stream_transport stream; /* first */
    struct vsock_device device;
    struct vsock_connection input;
    struct vsock_connection output;
};

static bool input_receive(struct stream_transport *stream, void *data, uint64_t len, struct error *error)
{
    return vsock_receive(&((struct vsock *)stream)->input, data, len, error);
}

static bool output_receive(struct stream_transport *stream, void *data, uint64_t len, struct error *error)
{
    return vsock_receive(&((struct vsock *)stream)->output, data, len, error);
}

static bool output_send(struct stream_transport *stream, const void *data, uint64_t len, struct error *error)
{
    return vsock_send(&((struct vsock *)stream)->output, data, len, error);
}

static bool connections_close(struct stream_transport *stream, struct error *error)
{
    struct vsock *vsock = (struct vsock *)stream;
    return vsock_close(&vsock->output, error) && vsock_close(&vsock->input, error);
}

static const struct stream_carrier carrier = {
    .input_receive = input_receive,
    .output_receive = output_receive,
    .output_send = output_send,
    .close = connections_close,
};

static bool vsock_transport_open(const struct transport_setup *setup, struct transport **ret_transport,
                                 struct error *error)
{
    struct vsock *vsock = arena_allocate(setup->arena, sizeof(*vsock), _Alignof(struct vsock));
    if (vsock == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for a transport");
    }
    const struct boot_info *boot = setup->boot;
    bool is_seqpacket = boot->transport.variant == VSOCK_VARIANT_SEQPACKET;
    struct vsock_setup device_setup = {
        .registers_gpa = LAYOUT_REGISTERS_DEVICE_GPA(0),
        .poll_ticks = transport_poll_ticks(boot, device_queue_poll_ticks(boot->tsc_khz)),
        .type = is_seqpacket ? VIRTIO_VSOCK_TYPE_SEQPACKET : VIRTIO_VSOCK_TYPE_STREAM,
        .message_len_max = VSOCK_MESSAGE_LEN_MAX,
        .rings = setup->queues,
        .arena = setup->arena,
    };
    RETURN_IF_FAILED(vsock_open(&vsock->device, &device_setup, error));
    RETURN_IF_FAILED(vsock_accept(&vsock->device, &vsock->input, VSOCK_INPUT_PORT, setup->arena, error));
    RETURN_IF_FAILED(vsock_connect(&vsock->device, &vsock->output, VSOCK_OUTPUT_PORT, setup->arena, error));
    *ret_transport = &vsock->stream.transport;
    return stream_open(&vsock->stream, &vsock_transport, &carrier, setup, error);
}

const struct transport_operations vsock_transport = {
    .name = "vsock",
    .id = TRANSPORT_VSOCK,
    .is_sequential = true,
    .open = vsock_transport_open,
    .read = stream_read,
    .write = stream_write,
    .flush = stream_flush,
    .finish = stream_finish,
};
