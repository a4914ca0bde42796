/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's ends of the two streams of abi/transports/stream.h, for transports that carry bytes in order. */
#ifndef INSTAR_GUEST_TRANSPORTS_STREAM_TRANSPORT_H
#define INSTAR_GUEST_TRANSPORTS_STREAM_TRANSPORT_H

#include "abi/transports/stream.h"
#include "guest/transports/transport.h"

struct stream_transport;

/* What carries the streams. `data` is arena memory; all of it is moved when a call returns. */
struct stream_carrier {
    bool (*input_receive)(struct stream_transport *transport, void *data, uint64_t len, struct error *error);
    bool (*output_receive)(struct stream_transport *transport, void *data, uint64_t len, struct error *error);
    bool (*output_send)(struct stream_transport *transport, const void *data, uint64_t len, struct error *error);
    /* The output is complete. NULL: nothing has to be done. */
    bool (*close)(struct stream_transport *transport, struct error *error);
};

/* A transport's own struct begins with this. */
struct stream_transport {
    struct transport transport; /* first */
    const struct stream_carrier *carrier;
    /* In the arena. */
    struct stream_request *request;
    struct stream_reply *reply;
};

/* Learns what there is to read. The carrier works already. */
bool stream_open(struct stream_transport *stream, const struct transport_operations *operations,
                 const struct stream_carrier *carrier, const struct transport_setup *setup, struct error *error);

/* For struct transport_operations. */
bool stream_read(struct transport *transport, uint64_t off, void *data, uint64_t len, struct error *error);
bool stream_write(struct transport *transport, uint64_t off, const void *data, uint64_t len, struct error *error);
bool stream_flush(struct transport *transport, struct error *error);
bool stream_finish(struct transport *transport, struct error *error);

#endif
