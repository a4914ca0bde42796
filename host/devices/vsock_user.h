/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands at the far ends of a virtio-vsock device's Unix sockets, where another program would: it asks for the
 * guest's port and sends the job's input there, and takes what the guest sends for the job's output. It knows nothing
 * of virtio.
 */
#ifndef INSTAR_HOST_DEVICES_VSOCK_USER_H
#define INSTAR_HOST_DEVICES_VSOCK_USER_H

#include "host/devices/io_thread.h"
#include "host/devices/stream_files.h"
#include "host/vmm/machine.h"

#define VSOCK_USER_BUFFER_LEN 0x10000u

struct vsock_user {
    struct machine *machine; /* ended when the guest breaks a stream's rules */
    int input_fd;            /* its own, as the next */
    int output_fd;
    bool is_accepted; /* the guest has said OK */
    bool has_ended;   /* nothing more is to be sent */
    struct stream_source source;
    struct stream_sink sink;
    size_t input_off; /* bytes of the buffer that were sent */
    size_t input_len;
    size_t output_off; /* likewise, taken */
    size_t output_len;
    uint8_t input[VSOCK_USER_BUFFER_LEN];
    uint8_t output[VSOCK_USER_BUFFER_LEN];
};

struct vsock_user_setup {
    struct machine *machine;
    struct io_thread *thread; /* the caller's, not started yet */
    struct transport_file *input;
    struct transport_file *output;
    int input_fd; /* connected to the device; taken over, also on failure, as is the next */
    int output_fd;
    uint32_t input_port; /* of the guest */
};

bool vsock_user_init(struct vsock_user *user, const struct vsock_user_setup *setup, struct error *error);
void vsock_user_release(struct vsock_user *user);

#endif
