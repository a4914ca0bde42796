/* SPDX-License-Identifier: Apache-2.0 */
/* bzip2, by libbz2. */
#ifndef INSTAR_GUEST_CODECS_BZIP2_H
#define INSTAR_GUEST_CODECS_BZIP2_H

#include "base/attributes.h"
#include "base/stream_step.h"

/* The state of a stream: libbz2's structure, and 4 bytes for each byte of its largest block, 900 kB. It must not move.
 */
#define BZIP2_STATE_LEN (3700u << 10)

/* False when the stream is damaged. On any vCPU. */
MUST_CHECK bool bzip2_step(struct stream_step *step, void *state);

#endif
