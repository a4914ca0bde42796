/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's ends of the two streams of abi/transports/stream.h: the job's files as bytes to send and bytes to take,
 * whatever carries them. Nothing here waits for the guest.
 */
#ifndef INSTAR_HOST_DEVICES_STREAM_FILES_H
#define INSTAR_HOST_DEVICES_STREAM_FILES_H

#include <stddef.h>

#include "abi/transports/stream.h"
#include "host/devices/transport_file.h"

struct stream_source {
    struct transport_file *file; /* set by the owner */
    uint64_t sent_len;           /* bytes of the stream, its head included */
    bool has_failed;
};

/*
 * Fills `data` with the next bytes of the input stream: `len`, or less where it ends. None are its end: that of the
 * file, or because it cannot be read.
 */
bool stream_source_next(struct stream_source *source, void *data, size_t len, size_t *ret_len,
                        struct error *error) MUST_CHECK;

struct stream_sink {
    struct transport_file *file; /* set by the owner */
    uint64_t off;                /* of the next byte of the output */
    uint8_t request[sizeof(struct stream_request)];
    size_t request_len; /* bytes of it that have come */
    uint64_t data_left; /* bytes of a DATA request that have not */
    struct stream_reply reply;
    size_t reply_left; /* bytes of it that the owner has to send */
    bool has_failed;
    bool is_finished;
};

/*
 * Takes bytes of the output stream. *ret_len is less than `len` when a reply has to be sent first. False when the guest
 * breaks the stream's rules.
 */
bool stream_sink_take(struct stream_sink *sink, const void *data, size_t len, size_t *ret_len,
                      struct error *error) MUST_CHECK;

/* The bytes of the reply that are left to be sent; none when *ret_len is 0. Then how many of them were. */
const void *stream_sink_reply(const struct stream_sink *sink, size_t *ret_len);
void stream_sink_replied(struct stream_sink *sink, size_t len);

#endif
