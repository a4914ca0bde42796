/* SPDX-License-Identifier: Apache-2.0 */
/* Which codec a chunk is of, and the memory that it takes. */
#ifndef INSTAR_GUEST_FORMATS_DMG_DMG_CODEC_H
#define INSTAR_GUEST_FORMATS_DMG_DMG_CODEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/stream_step.h"

/* Bytes of state for a chunk of this type that makes unit_len bytes. */
uint32_t dmg_codec_state_len(uint32_t type, uint32_t unit_len);

/* A step of a chunk that makes unit_len bytes, with dmg_codec_state_len of state. An error may have no text. */
MUST_CHECK bool dmg_codec_step(uint32_t type, uint32_t unit_len, struct stream_step *step, void *state,
                               struct error *error);

/* All of a chunk at once. False if the stream does not make unit_len bytes and end. */
MUST_CHECK bool dmg_codec_expand(uint32_t type, struct span stream, uint8_t *target, uint32_t unit_len, void *state,
                                 struct error *error);

#endif
