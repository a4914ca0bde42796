/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest says in the course of a job: Init, then Capacity and Progress, then Complete. Every message is
 * untrusted; it is decoded into a fixed-size structure, range checked and checked against what came before.
 */
#ifndef INSTAR_HOST_JOB_GUEST_SESSION_H
#define INSTAR_HOST_JOB_GUEST_SESSION_H

#include <stdbool.h>

#include "base/error.h"
#include "base/span.h"
#include "messages.pb.h"

/* Starts as zero. */
struct guest_session {
    bool has_init;
    bool has_complete;
    instar_CompleteMessage complete;
    instar_GuestMessage message; /* the one accepted last */
};

/* Takes the next message, as the guest encoded it. On failure *error is of kind ERROR_GUEST. */
bool guest_session_accept(struct guest_session *session, struct span encoded, struct error *error);

/*
 * After the last message: true when the guest reported success. Otherwise *error is what the guest says is
 * wrong, with `input_path` and `output_path` for its devices of these names. When it fails because a file was refused,
 * it does not know why: then `refusal`, the last one, is the error.
 */
bool guest_session_check_result(const struct guest_session *session, const char *input_path, const char *output_path,
                                const struct error *refusal, struct error *error);

#endif
