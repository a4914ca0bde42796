/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What transports carry that are pairs of byte streams, whatever the streams are made of: vsock's connections,
 * console's ports. Numbers are little-endian; nothing is aligned.
 *
 *   input stream   host to guest: struct stream_head, then the input. It ends early when the input cannot be read.
 *   output stream  guest to host: requests, each a struct stream_request, DATA with its bytes behind it: the next ones
 * of the output. Host to guest: a struct stream_reply to each FLUSH and each FINISH, in their order.
 */
#ifndef INSTAR_ABI_TRANSPORTS_STREAM_H
#define INSTAR_ABI_TRANSPORTS_STREAM_H

#include <stdint.h>

struct stream_head {
    uint64_t len; /* bytes of the input, exact */
};

enum stream_request_kind {
    STREAM_DATA = 1,
    STREAM_FLUSH = 2,  /* what came before, to stable storage */
    STREAM_FINISH = 3, /* nothing follows; what came before is in its file when this is answered */
};

struct stream_request {
    uint32_t kind; /* enum stream_request_kind */
    uint32_t reserved;
    uint64_t len; /* bytes that follow, 1 at least with DATA, 0 otherwise */
};

enum stream_status {
    STREAM_OK = 0,
    STREAM_FAILED = 1, /* something of the output could not be written, for good */
};

struct stream_reply {
    uint32_t status; /* enum stream_status */
    uint32_t reserved;
};

#endif
