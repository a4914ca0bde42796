/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that a job's images lead to: the parent's record, and its answers to the guest's OpenMessages. Opening one
 * may take for ever, where a server is gone: a process of its own does it (host/job/parent/opener.h), which has a copy
 * of the record.
 */
#ifndef INSTAR_HOST_JOB_PARENT_OPENINGS_H
#define INSTAR_HOST_JOB_PARENT_OPENINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/job/files/files.h"
#include "host/job/job.h"
#include "host/job/parent/job_images.h"

/* Refusals count, too: a guest that keeps asking tries names. More than any honest backing chain. */
#define OPENINGS_ASKED_MAX 512u
#define OPENINGS_REFUSED_MAX (OPENINGS_ASKED_MAX - JOB_CHAIN_DEVICE_MAX)

/* What the parent asks of who opens files. */
struct opening_question {
    uint32_t device;     /* whose image names the file */
    uint32_t use;        /* enum policy_use */
    bool is_data_output; /* it must be the data file that the job writes to */
    bool may_be_written; /* it may be the file behind the output that the job writes to */
    bool may_be_extent;  /* it may be one of the files of the output that names it, which the job writes to */
    uint32_t output;     /* then: the number of that output, or of the one that names it; 0: the job has none */
    uint32_t name_len;
    uint8_t name[sizeof(((instar_OpenMessage *)NULL)->name.bytes)];
};

enum opening_outcome {
    OPENING_REFUSED,
    OPENING_FOUND, /* a file comes with the answer */
    OPENING_KNOWN, /* a device of the job has it already */
};

struct opening_answer {
    enum opening_outcome outcome;
    uint32_t device;        /* OPENING_KNOWN: which one */
    uint64_t len;           /* bytes */
    uint64_t allocated_len; /* bytes of storage */
    struct error refusal;
};

struct openings {
    const struct job *job;
    struct job_result *result;        /* has the devices, and gets those that are granted */
    struct opening_question question; /* the last one */
    unsigned int asked_count;
    unsigned int granted_count;
    const struct job_images *images; /* what is open: nothing that images lead to may be an output */
    /*
     * Where names in each device's image start; all zero for a new output. Held, so that nobody can move them; those of
     * late devices by who opens files.
     */
    struct policy_origin *origins; /* of as many devices as the job may have */
    unsigned int origin_count;
    int *granted_fds;                 /* with their locks; of as many as may be granted */
    struct file_identity *identities; /* of all devices; only with who opens files, where the job joins them */
    struct policy_named *outputs;     /* the further ones, where the job changes images in place; otherwise NULL */
    struct error refusal;             /* the last one; the guest only learns its kind */
    unsigned int refusal_device;      /* whose image named the file */
};

/* When the images are open. After a failure, openings_release is still to be called. */
bool openings_begin(struct openings *openings, const struct job *job, const struct job_images *images,
                    struct job_result *result, struct error *error);
void openings_release(struct openings *openings);

/* How many of the origins may be in use: those behind them are all zero, and memory that nobody has touched. */
unsigned int openings_origin_end(const struct openings *openings);

/* The file of a device that was granted. */
int openings_fd(const struct openings *openings, unsigned int device);

/*
 * Takes the guest's question: fills in `question`, for who opens files. What comes of it is a grant, or a refusal that
 * the guest may live with. What is granted is read, and is nothing that the job writes to. The data file of an output
 * that is changed in place is the one that the user named: the child has it already.
 *
 * Fails when the guest asks for what makes no sense, for too much, or, in a job that opens no file, for any.
 */
bool openings_ask(struct openings *openings, const instar_OpenMessage *message, struct error *error);

/*
 * For who opens files: looks for what is asked. *ret_fd is the caller's, or -1. What was found is another device from
 * there on, in this process's record.
 */
void openings_find(struct openings *openings, const struct opening_question *question,
                   struct opening_answer *ret_answer, int *ret_fd);

/* Takes the answer to the last question, with its file or -1, and tells the child through the socket. */
bool openings_answer(struct openings *openings, const struct opening_answer *answer, int file_fd, int socket_fd,
                     struct error *error);

#endif
