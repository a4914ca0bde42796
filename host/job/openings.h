/* SPDX-License-Identifier: Apache-2.0 */
/* The files that a job's images lead to: the parent's record, and its answers to the guest's OpenMessages. */
#ifndef INSTAR_HOST_JOB_OPENINGS_H
#define INSTAR_HOST_JOB_OPENINGS_H

#include "host/job/files.h"
#include "host/job/job.h"
#include "host/job/job_images.h"

/* Refusals count, too: a guest that keeps asking tries names. More than any honest backing chain. */
#define OPENINGS_ASKED_MAX 512u

struct openings {
    const struct job *job;
    struct job_result *result; /* has the devices, and gets those that are granted */
    unsigned int asked_count;
    unsigned int granted_count;
    const struct job_images *images; /* what is open: nothing that images lead to may be an output */
    /* Where names in each device's image start; all zero for the output. Held, so that nobody can move them. */
    struct policy_directory directories[JOB_DEVICE_MAX];
    int granted_fds[JOB_LATE_DEVICE_MAX]; /* with their locks */
    struct file_identity granted_identities[JOB_LATE_DEVICE_MAX];
    bool has_changed; /* one of them is written to: */
    struct file_identity changed_identity;
    struct error refusal;        /* the last one; the guest only learns its kind */
    unsigned int refusal_device; /* whose image named the file */
};

/* Before the machine starts. */
bool openings_init(struct openings *openings, const struct job *job, struct job_result *result, struct error *error);
void openings_release(struct openings *openings);

/* The file of a device that was granted. */
int openings_fd(const struct openings *openings, unsigned int device);

/*
 * The file is read, or, once in a job, changed: what the output leads to, where that is written in place. Such a file
 * is nothing else that the job has.
 *
 * Answers `message` through the socket to the child: a grant, or a refusal that the guest may live with. Fails when
 * the guest asks for what makes no sense, or for too much.
 */
bool openings_answer(struct openings *openings, const instar_OpenMessage *message, int socket_fd, struct error *error);

#endif
