/* SPDX-License-Identifier: Apache-2.0 */
/* The message of a job that copies device 0 to device 1: `instar copy`, and what instar-vmm runs. */
#ifndef INSTAR_HOST_JOB_PARENT_COPY_MESSAGE_H
#define INSTAR_HOST_JOB_PARENT_COPY_MESSAGE_H

#include "abi/framing.h"
#include "host/job/job.h"

/* How a copy goes about it. All zero: the guest chooses, and reports every 10 sectors. */
struct copy_settings {
    uint32_t queue_depth;      /* transfers in flight, 1 to JOB_QUEUE_DEPTH_MAX */
    uint32_t request_len;      /* bytes, a power of two in the bounds of a sector */
    uint32_t progress_percent; /* 0 to JOB_PROGRESS_NONE */
    const char *input_name;    /* in a directory that a daemon shares (transport_shares_directory); otherwise NULL */
    const char *output_name;   /* likewise */
    uint32_t latency_reads;    /* instead of a copy, measure so many reads; 0: copy */
};

/* Sets the job's message, which lies in `buffer` from now on, and its arena. Images and `sync` are set. */
MUST_CHECK bool copy_message_make(const struct copy_settings *settings, struct job *job, uint8_t buffer[FRAME_BODY_MAX],
                                  struct error *error);

#endif
