/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The raw file that a conversion writes: parts of disks (reader.h) become requests, several under way at once. Plain
 * data is copied without coming here, zeros are left out where the target reads as zero.
 */
#ifndef INSTAR_GUEST_OPERATIONS_CONVERT_TARGET_H
#define INSTAR_GUEST_OPERATIONS_CONVERT_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/io.h"
#include "guest/operations/progress.h"
#include "guest/operations/reader.h"
#include "guest/operations/sparse_run.h"

/* Requests that may be under way: enough for a device that is slow to answer. */
#define TARGET_REQUESTS_MAX 32u

struct convert_target;

struct target_request {
    struct io_request request;
    struct target_request *next_free;
    struct convert_target *target;
    struct reader_part part; /* whose memory is written */
    uint64_t len;
};

struct convert_target {
    struct io *io;
    struct file *file;
    struct reader *reader;
    struct progress *progress;
    uint64_t sparse_len; /* zeros in such a run, or a longer one, are not written; 0: all are */
    uint64_t copy_zero_len;
    uint64_t piece_len; /* of a request that stores anything, at most */
    bool reads_as_zero; /* where nothing was written */

    uint64_t base_off; /* of the disk in the file */
    bool has_part;     /* one that is not all submitted */
    struct reader_part part;
    uint64_t submitted_len; /* of it */
    struct zero_run run;    /* what begins there */
    uint32_t pending;
    uint64_t bytes_written;
    uint64_t bytes_zero;
    struct error error; /* of the first request that failed */
    struct target_request *free;
    struct target_request requests[TARGET_REQUESTS_MAX];
};

struct convert_target_setup {
    struct io *io;
    struct file *file;
    struct reader *reader;
    struct progress *progress;
    uint64_t sparse_len;
    uint64_t piece_len; /* bytes of a request at most, a multiple of 512; 0: as many as are good */
    bool copies_zeros;  /* plain data is copied as it is, zeros and all */
    bool reads_as_zero;
};

void convert_target_init(struct convert_target *target, const struct convert_target_setup *setup);

/* The next part of the disk at `base_off`, a multiple of 512; no other one is left. */
void convert_target_give(struct convert_target *target, const struct reader_part *part);

/*
 * Submits one request for the part, if it has one free. Returns whether there was anything to do; has_part says whether
 * more is left.
 */
bool convert_target_submit(struct convert_target *target);

/* Submits and waits. Nothing else is under way. */
MUST_CHECK bool convert_target_set_len(struct convert_target *target, uint64_t len, struct error *error);
MUST_CHECK bool convert_target_flush(struct convert_target *target, struct error *error);
/* Reserves storage for the whole file, which reads as zeros. */
MUST_CHECK bool convert_target_allocate(struct convert_target *target, struct error *error);

#endif
