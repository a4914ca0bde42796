/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a conversion does with the parts of disks (reader.h): they are divided into what the target stores and what it
 * leaves out, in units of the target's, and become its requests, several under way at once; or they are compressed
 * first (convert_compressor.h). Plain data is copied by the host where nobody needs to look at it.
 */
#ifndef INSTAR_GUEST_OPERATIONS_CONVERT_CONVERT_TARGET_H
#define INSTAR_GUEST_OPERATIONS_CONVERT_CONVERT_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/write/target.h"
#include "guest/operations/convert/convert_memory.h"
#include "guest/operations/job/progress.h"
#include "guest/operations/reader/reader.h"
#include "guest/operations/reader/zero_scan.h"

/* Requests that may be under way: enough for a device that is slow to answer. */
#define CONVERT_WRITES_MAX 32u

struct convert_compressor;
struct convert_target;

struct convert_write {
    struct target_write write;
    struct convert_write *next_free;
    struct convert_target *target;
    struct convert_memory memory; /* whose bytes are written */
    uint64_t len;
};

struct convert_target_setup {
    struct target *target;
    struct progress *progress;
    struct arena *arena;
    uint32_t vcpu_count;
    uint64_t total_len;  /* bytes that come, in whole sectors */
    uint64_t sparse_len; /* zeros in such a run, or a longer one, are left out; 0: nothing is */
    uint64_t piece_len;  /* of a rate limit: bytes of a request at most, a multiple of 512; 0: there is none */
    bool compresses;
    bool is_shifted; /* bytes do not lie at their sectors' places: what is read begins within a sector */
};

struct convert_target {
    struct target *target;
    struct reader *reader; /* set before the first part is given */
    struct progress *progress;
    struct convert_compressor *compressor; /* NULL: nothing is compressed */
    struct convert_units units;
    uint64_t total_len;
    uint64_t sparse_len;
    uint32_t zero_block_len; /* zeros are looked for in blocks of this length */
    uint32_t copy_zero_len;  /* what the host leaves out of copies; 0: nothing */
    uint64_t piece_len;
    bool has_rate_limit; /* bytes_written is looked at between two writes */
    bool gathers_all;    /* all bytes go through units */

    uint64_t base_off; /* of the disk in the target, less what of it is not read; modulo 2^64 */
    bool has_part;     /* one that is not all submitted */
    struct reader_part part;
    uint64_t submitted_len;    /* of it */
    struct zero_run run;       /* what begins there */
    struct convert_unit *unit; /* one that is being put together; NULL: none is */
    uint64_t unit_off;
    uint64_t unit_fill_len;
    uint32_t pending; /* requests */
    uint64_t bytes_written;
    uint64_t bytes_zero;
    struct error error; /* of the first request that failed */
    struct convert_write *free;
    struct convert_write writes[CONVERT_WRITES_MAX];
};

/* Sets everything up but the reader. */
MUST_CHECK bool convert_target_init(struct convert_target *target, const struct convert_target_setup *setup,
                                    struct error *error);

/* The length that plain data must have to be copied by the host; UINT64_MAX: it never is. */
uint64_t convert_target_plain_len(const struct convert_target *target, uint64_t len);

/*
 * The units in which zeros have to be found in what is copied by the host, before it is: 2^n bytes; 0 when it is not,
 * or nobody has to look.
 */
uint32_t convert_target_zero_unit_bits(const struct convert_target *target);

/* The next part of a disk that ends at `end_voff`; no other one is left. */
void convert_target_give(struct convert_target *target, const struct reader_part *part, uint64_t end_voff);

/* Goes on with the part, and with what is compressed. Sets *ret_moved if there was anything to do. */
MUST_CHECK bool convert_target_submit(struct convert_target *target, bool *ret_moved, struct error *error);

/* Whether all that was given is written. */
bool convert_target_is_idle(const struct convert_target *target);

/* No part comes any more: what is left in a unit is submitted, with zeros to the end. The target is idle before. */
MUST_CHECK bool convert_target_end(struct convert_target *target, struct error *error);

/* For convert_compressor.c. */

/* A request that has failed, or not, is done: `len` bytes of the disk. */
void convert_target_done(struct convert_target *target, uint64_t len, const struct error *error);
MUST_CHECK bool convert_target_zero(struct convert_target *target, uint64_t off, uint64_t len, struct error *error);

#endif
