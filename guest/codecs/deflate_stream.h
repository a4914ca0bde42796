/* SPDX-License-Identifier: Apache-2.0 */
/* Deflate with zlib's head and checksum (RFC 1950), expanded in steps, by zlib: libdeflate knows whole streams only. */
#ifndef INSTAR_GUEST_CODECS_DEFLATE_STREAM_H
#define INSTAR_GUEST_CODECS_DEFLATE_STREAM_H

#include "base/attributes.h"
#include "base/stream_step.h"

/* The state of a stream: what zlib says inflate takes, and more than it does. It must not move. */
#define DEFLATE_STREAM_LEN (56u << 10)

/* False when the stream is damaged. On any vCPU. */
MUST_CHECK bool deflate_stream_step(struct stream_step *step, void *state);

#endif
