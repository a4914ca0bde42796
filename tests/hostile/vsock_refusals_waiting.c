/* SPDX-License-Identifier: Apache-2.0 */
/* Many packets that are refused, and no buffer for a refusal, for a while: none is lost, and the host keeps few. */
#include <string.h>

#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_init(&vsock, runtime);
    struct virtio_vsock_header packet = raw_vsock_packet(&vsock, VIRTIO_VSOCK_OP_REQUEST);
    packet.dst_port = 22;
    memcpy(vsock.packet, &packet, sizeof(packet));
    for (uint16_t i = 0; i < RAW_RING_SIZE; i++) {
        raw_desc_set(&vsock.transmit.desc[i], vsock.packet, sizeof(packet), 0, 0);
        raw_ring_offer(&vsock.transmit, i);
    }
    raw_ring_kick(&vsock.transmit);
    raw_vsock_offer(&vsock);
    for (uint32_t i = 0; i < RAW_RING_SIZE; i++) {
        raw_vsock_receive_op(&vsock, VIRTIO_VSOCK_OP_RST);
    }
}
