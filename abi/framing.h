/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing of messages, on COM1 and between the processes of a job: the length of the body in 4 bytes,
 * little-endian, then the body.
 */
#ifndef INSTAR_ABI_FRAMING_H
#define INSTAR_ABI_FRAMING_H

#define FRAME_HEAD_LEN 4u
/* No body is longer, in either direction. */
#define FRAME_BODY_MAX 7168u

#endif
