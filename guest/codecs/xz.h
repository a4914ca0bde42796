/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LZMA in .xz files ("The .xz File Format", 1.1.0), by liblzma. Blocks are decoded one by one, so that their dictionary
 * need not be longer than what comes out: makers ask for 8 MiB and more whatever they compress.
 */
#ifndef INSTAR_GUEST_CODECS_XZ_H
#define INSTAR_GUEST_CODECS_XZ_H

#include "base/attributes.h"
#include "base/error.h"
#include "base/stream_step.h"

/* A longer dictionary is refused, where the stream asks for one and has more to make than this. */
#define XZ_DICTIONARY_LEN_MAX (8u << 20)

/* The state of a stream that makes unit_len bytes. It must not move. */
size_t xz_state_len(uint32_t unit_len);

/* False when the stream is damaged; where it is not, and cannot be read all the same, *error says why. On any vCPU. */
MUST_CHECK bool xz_step(struct stream_step *step, uint32_t unit_len, void *state, struct error *error);

#endif
