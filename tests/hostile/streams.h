/* SPDX-License-Identifier: Apache-2.0 */
/* The output stream (abi/transports/stream.h) over what carries it in this machine; nothing is checked. */
#ifndef INSTAR_TESTS_HOSTILE_STREAMS_H
#define INSTAR_TESTS_HOSTILE_STREAMS_H

#include "abi/transports/stream.h"
#include "tests/hostile/attack.h"

/* Connects. Once, before the others. */
void streams_open(struct runtime *runtime);
/* Sends `len` bytes of arena memory. */
void streams_send(const void *data, uint64_t len);
/* Sends a request, and `data_len` bytes of zeros, 64 KiB at most, whatever it says. */
void streams_request(struct runtime *runtime, uint32_t kind, uint64_t len, uint64_t data_len);
/* Waits for a reply. */
struct stream_reply streams_reply(struct runtime *runtime);

#endif
