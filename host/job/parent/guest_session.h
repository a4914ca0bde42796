/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest says in the course of a job: Init, then what it reports, then Complete. Every message is
 * untrusted; it is decoded into a fixed-size structure, range checked and checked against what came before.
 */
#ifndef INSTAR_HOST_JOB_PARENT_GUEST_SESSION_H
#define INSTAR_HOST_JOB_PARENT_GUEST_SESSION_H

#include <limits.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/span.h"
#include "host/job/job.h"
#include "messages.pb.h"

/* What the guest's names for devices mean to the user. All zero: there are none. */
struct guest_devices {
    unsigned int input_count;
    bool has_output;                 /* behind the inputs */
    const struct job_result *result; /* has the devices so far */
};

/* Starts as zero but for `devices`. */
struct guest_session {
    struct guest_devices devices;
    bool has_init;
    bool has_complete;
    instar_CompleteMessage complete;
    instar_GuestMessage message; /* the one accepted last */
};

/* Takes the next message, as the guest encoded it. The devices that it names exist. On failure *error is of kind
 * ERROR_GUEST. */
bool guest_session_accept(struct guest_session *session, struct span encoded, struct error *error);

/*
 * After the last message: true when the guest reported success. Otherwise *error is what the guest says is
 * wrong, with the paths of devices for their names: "input", "output", "device N". When it fails because a file was
 * refused, it does not know why: then `refusal`, the last one, is the error.
 */
bool guest_session_check_result(const struct guest_session *session, const struct error *refusal, struct error *error);

/* The device that the error of a failed session is about. */
#define GUEST_DEVICE_NONE UINT_MAX
unsigned int guest_session_error_device(const struct guest_session *session);

#endif
