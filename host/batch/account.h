/* SPDX-License-Identifier: Apache-2.0 */
/* What a job's process tells the batch besides its output and exit code: in memory that both share. */
#ifndef INSTAR_HOST_BATCH_ACCOUNT_H
#define INSTAR_HOST_BATCH_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#define BATCH_NOTICE_LEN 2048
#define BATCH_DIGEST_LEN 32u /* SHA-256 */

struct batch_account {
    int error_kind;                /* of the error that the job has printed; ERROR_NONE: none */
    char notice[BATCH_NOTICE_LEN]; /* what is said once for all jobs of a host, with its end; empty: nothing */
    bool is_in_place;              /* its output was there, and other jobs may write to it, too */
    bool is_leaving;               /* once it has closed its output: it only waits for its machine to be taken down */
    /* Of a process that makes a digest. */
    int digest_errno; /* not 0: it could not */
    uint8_t digest[BATCH_DIGEST_LEN];
};

#endif
