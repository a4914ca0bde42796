/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes from one backend's file to another's, the fastest way that there is:
 *   - storage is shared, where the file system of both can do that (FICLONERANGE): whole blocks at offsets that differ
 *     by whole blocks; what is left over at the ends is copied
 *   - else it is read, looked at for zeros if wanted, and written, in pieces that stay in a processor's cache. Two
 *     threads take turns at that, where there is a helper: a file system lets one at a time write to a file, and the
 *     other one reads meanwhile. That takes three quarters of the time of copy_file_range, which cannot look.
 *
 * Runs on the thread of the target's owner. The source may be in use by its own owner meanwhile; only its descriptors
 * are used.
 */
#ifndef INSTAR_HOST_BACKENDS_BACKEND_COPY_H
#define INSTAR_HOST_BACKENDS_BACKEND_COPY_H

#include "host/backends/backend.h"

/* A thread that does a part of the work. */
struct backend_copy_helper {
    /* Calls work(argument) on the thread. False when that works for somebody else. */
    bool (*begin)(struct backend_copy_helper *helper, void (*work)(void *argument), void *argument);
    /* After begin: returns when that call has. */
    void (*wait)(struct backend_copy_helper *helper);
};

/* Room for what is stored, of which there may be too little (host/devices/write_room.h); any thread asks. */
struct backend_copy_room {
    /* Before [off, off + len) of the target is written. *ret_room_len is for the call after that. */
    bool (*take)(struct backend_copy_room *room, uint64_t off, uint64_t len, uint64_t *ret_room_len);
    void (*stored)(struct backend_copy_room *room, uint64_t room_len);
};

struct backend_copy {
    /* Set by the caller; all in bytes. The ranges lie within the files, and do not overlap if the file is the same. */
    const struct backend *source;
    uint64_t source_off;
    uint64_t target_off;
    uint64_t len;
    uint64_t zero_len;      /* runs of so many zeros are not stored; 0: all is written */
    uint64_t unwritten_off; /* from here on the target was never written, and reads as zeros; UINT64_MAX: nowhere */
    uint64_t store_max_len; /* it ends with EDQUOT and is_over_limit before more than this is written or shared */
    bool zeros_are_written; /* the target cannot have holes: zeros count as stored where something was written */
    struct backend_copy_room
        *room; /* it ends with ENOSPC and has_no_room before more than that is written; NULL: any */
    bool (*is_cancelled)(void *context); /* asked every few milliseconds: true ends it with ECANCELED; any thread */
    void *context;
    struct backend_copy_helper *helper; /* NULL: the caller's thread does everything */

    /* What was done, set also when it fails. */
    uint64_t shared_len;
    uint64_t written_len;
    uint64_t zeros_len;         /* found, in holes or by looking, and not stored */
    uint64_t written_zeros_len; /* of them, those that were written all the same */
    bool is_over_limit;
    bool has_no_room;
    bool failed_at_source;
    uint64_t failed_off; /* in the source if failed_at_source, else in the target */
};

/* What counts as stored. */
static inline uint64_t backend_copy_stored_len(const struct backend_copy *copy)
{
    return copy->written_len + copy->shared_len + copy->written_zeros_len;
}

/* Makes a writable backend ready to be a target. Opens what the jail would not let it open later. */
bool backend_copy_prepare(struct backend *target, struct error *error);

/* Copies. Returns 0 or an errno value; then any part may have been copied. */
int backend_copy(struct backend *target, struct backend_copy *copy);

#endif
