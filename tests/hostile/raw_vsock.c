/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/raw_vsock.h"

#include <string.h>

#define RECEIVE_COUNT 16u

void raw_vsock_init(struct raw_vsock *vsock, struct runtime *runtime)
{
    raw_ring_init(&vsock->receive, runtime, RAW_INPUT, VIRTIO_VSOCK_QUEUE_RECEIVE);
    raw_ring_init(&vsock->transmit, runtime, RAW_INPUT, VIRTIO_VSOCK_QUEUE_TRANSMIT);
    vsock->received = raw_memory(runtime, RECEIVE_COUNT * RAW_VSOCK_RECEIVE_LEN);
    vsock->packet = raw_memory(runtime, sizeof(struct virtio_vsock_header) + RAW_VSOCK_SEND_LEN);
    vsock->type = runtime->boot->transport.variant == VSOCK_VARIANT_SEQPACKET ? VIRTIO_VSOCK_TYPE_SEQPACKET
                                                                              : VIRTIO_VSOCK_TYPE_STREAM;
    uint64_t registers_gpa = vsock->receive.registers_gpa;
    if (!raw_negotiate(registers_gpa, raw_features(registers_gpa) & ~VIRTIO_F_EVENT_IDX)) {
        panic("the device refuses the features that it offers");
    }
    raw_ring_enable(&vsock->receive);
    raw_ring_enable(&vsock->transmit);
    raw_start(registers_gpa);
}

void raw_vsock_offer(struct raw_vsock *vsock)
{
    for (uint16_t i = 0; i < RECEIVE_COUNT; i++) {
        raw_desc_set(&vsock->receive.desc[i], vsock->received + i * RAW_VSOCK_RECEIVE_LEN, RAW_VSOCK_RECEIVE_LEN,
                     VIRTQ_DESC_F_WRITE, 0);
        raw_ring_offer(&vsock->receive, i);
    }
    raw_ring_kick(&vsock->receive);
}

void raw_vsock_open(struct raw_vsock *vsock, struct runtime *runtime)
{
    raw_vsock_init(vsock, runtime);
    raw_vsock_offer(vsock);
}

struct virtio_vsock_header raw_vsock_packet(const struct raw_vsock *vsock, uint16_t op)
{
    return (struct virtio_vsock_header){
        .src_cid = VSOCK_GUEST_CID,
        .dst_cid = VIRTIO_VSOCK_CID_HOST,
        .src_port = RAW_VSOCK_PORT,
        .dst_port = VSOCK_OUTPUT_PORT,
        .type = vsock->type,
        .op = op,
        .buf_alloc = 1u << 20,
    };
}

struct virtio_vsock_header raw_vsock_answer(const struct virtio_vsock_header *packet, uint16_t op)
{
    return (struct virtio_vsock_header){
        .src_cid = packet->dst_cid,
        .dst_cid = packet->src_cid,
        .src_port = packet->dst_port,
        .dst_port = packet->src_port,
        .type = packet->type,
        .op = op,
        .buf_alloc = 1u << 20,
    };
}

void raw_vsock_send(struct raw_vsock *vsock, const struct virtio_vsock_header *header, uint32_t data_len)
{
    memcpy(vsock->packet, header, sizeof(*header));
    raw_desc_set(&vsock->transmit.desc[0], vsock->packet, (uint32_t)sizeof(*header) + data_len, 0, 0);
    raw_ring_run(&vsock->transmit, 0);
}

struct virtio_vsock_header raw_vsock_receive(struct raw_vsock *vsock)
{
    struct virtq_used_elem used = raw_ring_wait(&vsock->receive);
    struct virtio_vsock_header header;
    memcpy(&header, vsock->received + used.id * RAW_VSOCK_RECEIVE_LEN, sizeof(header));
    raw_ring_offer(&vsock->receive, (uint16_t)used.id);
    raw_ring_kick(&vsock->receive);
    return header;
}

struct virtio_vsock_header raw_vsock_receive_op(struct raw_vsock *vsock, uint16_t op)
{
    struct virtio_vsock_header header;
    do { /* ends with the packet, or with the job's limit of time */
        header = raw_vsock_receive(vsock);
    } while (header.op != op);
    return header;
}

void raw_vsock_connect(struct raw_vsock *vsock)
{
    struct virtio_vsock_header request = raw_vsock_packet(vsock, VIRTIO_VSOCK_OP_REQUEST);
    raw_vsock_send(vsock, &request, 0);
    raw_vsock_receive_op(vsock, VIRTIO_VSOCK_OP_RESPONSE);
}

void raw_vsock_expect_rst(struct raw_vsock *vsock, const struct virtio_vsock_header *header)
{
    raw_vsock_send(vsock, header, header->len);
    struct virtio_vsock_header answer = raw_vsock_receive_op(vsock, VIRTIO_VSOCK_OP_RST);
    if (answer.src_port == header->dst_port && answer.dst_port == header->src_port) {
        attack_fail("refused: RST");
    }
}
