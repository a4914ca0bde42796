/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of a disk become one image (convert --join) without that anybody looks at what they contain: the host copies
 * data and compressed units as they lie in the parts' files, and only tables are made anew.
 */
#ifndef INSTAR_GUEST_OPERATIONS_CONVERT_CONVERT_JOIN_COPY_H
#define INSTAR_GUEST_OPERATIONS_CONVERT_CONVERT_JOIN_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/image.h"
#include "guest/image/write/target.h"
#include "guest/operations/job/progress.h"
#include "guest/operations/job/rate_limit.h"

/* Copies under way: enough for a host that works on one while others come. */
#define JOIN_WRITES_MAX 8u
/* Compressed units that are copied at once. */
#define JOIN_STREAMS_MAX 4096u

struct convert_join;

struct join_write {
    struct target_write write;
    struct join_write *next_free;
    struct convert_join *join;
    uint64_t len; /* bytes of the disk */
};

struct convert_join {
    /* Set by the caller. */
    struct target *target;
    struct progress *progress;
    struct rate_limit *rate_limit;
    /* Bytes of the disk: the result's. */
    uint64_t bytes_written;
    uint64_t bytes_zero;

    uint64_t piece_len; /* bytes of the disk in one copy, at most */
    uint32_t pending;
    struct error error; /* of the first copy that failed */
    struct join_write *free;
    struct join_write writes[JOIN_WRITES_MAX];
    /* Units of the part that have not been submitted yet. */
    const struct image *part;
    uint64_t streams_voff;
    uint32_t stream_count;
    struct target_stream streams[JOIN_STREAMS_MAX];
};

/* Fails where the target takes no copies. *join is zero but for what the caller sets. */
MUST_CHECK bool convert_join_begin(struct convert_join *join, struct error *error);

/* Adds [start_voff, end_voff) of a part, which convert_join_sort has seen; parts come in the disk's order. */
MUST_CHECK bool convert_join_add(struct convert_join *join, struct image *part, uint64_t start_voff, uint64_t end_voff,
                                 struct error *error);

/* Waits until all is copied. */
MUST_CHECK bool convert_join_end(struct convert_join *join, struct error *error);

#endif
