/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that a job writes. It appears under its name when it is complete, never before.
 *
 * A regular file is written without a name (O_TMPFILE) and linked under its name at the end; if something
 * stands there, both are exchanged in one step and the old file is removed. A process that is killed leaves
 * nothing that looks finished, and the old file as it was. File systems without unnamed files get
 * `.NAME.instar-XXXXXX`, which is removed on failure.
 *
 * An existing block device is written in place, as is whatever exists where the job says so (JOB_OUTPUT_IN_PLACE), and
 * a regular file that cannot be replaced (host/job/outputs/output_in_place.h): the old content stays until the guest
 * sets the first length, and is gone from then on.
 */
#ifndef INSTAR_HOST_JOB_OUTPUTS_OUTPUT_FILE_H
#define INSTAR_HOST_JOB_OUTPUTS_OUTPUT_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/job/files/files.h"
#include "host/job/job.h"

struct output_request {
    enum job_output_kind kind;       /* not NONE */
    bool lock;                       /* respect QEMU's locks, and take them on what is written in place */
    bool is_alone;                   /* and want that nobody else writes to what is replaced, or written to */
    bool resizes;                    /* what is written in place may get another length */
    bool is_filled;                  /* what is written in place gets what other files have */
    bool keeps_len;                  /* and nobody else shall give it one, as QEMU wants it for a data file */
    const char *path;                /* a symbolic link is followed: its target is replaced */
    uint64_t len;                    /* bytes: a new file gets this length, a device must have it */
    bool has_own_len;                /* a device is used in its whole length, as are files in place */
    const struct input_file *inputs; /* it must be none of these */
    unsigned int input_count;
    const struct output_file *image;  /* of a further output: it must not be this one; NULL: it is the first */
    const struct output_file *others; /* nor any of these */
    /*
     * The new file must not replace anything, gets its name by output_file_name alone, and is its owner's who has this
     * one, with the same attributes. NULL: none of this
     */
    const struct output_file *like;
    unsigned int other_count;
    bool may_stream; /* a pipe will do, which is written front to back */
    bool no_cow;     /* as in struct job */
    uint32_t extent_hint;
    bool forbid_unnamed; /* as on a file system without O_TMPFILE; for tests */
    bool truncates;      /* what cannot be replaced is made empty now, and not when the guest sets its length */
};

struct output_file {
    int fd;                 /* O_RDWR */
    uint64_t len;           /* bytes, when it was opened */
    uint64_t allocated_len; /* bytes of storage, likewise */
    bool is_regular;
    bool is_stream;      /* a pipe */
    bool is_new;         /* a regular file that gets its name at the end, */
    bool waits_for_name; /* or by output_file_name */
    bool zeroed;         /* what is not written reads as zeros */

    /*
     * Why a regular file that was to be new is written in place: the end of a sentence. It is shown as empty, and its
     * first length makes it so. NULL: it is none of these.
     */
    const char *in_place_reason;
    struct timespec old_time; /* of its last change */
    uint64_t old_len;

    /* What stands, or stood, under the name. */
    bool has_old;
    struct file_identity old_identity;
    uid_t old_owner;
    int named_fd; /* O_PATH, of what is written in place: the directory that the path names; -1 for others */

    /* The rest is about new files. */
    int directory_fd; /* O_PATH; -1 for others */
    char name[NAME_MAX + 1];
    char temporary_name[NAME_MAX + 1]; /* empty while the file has no name */
    bool replaces;                     /* something stood under the name */
};

/* On failure nothing is left behind and *ret_output is left alone. */
bool output_file_open(struct output_file *ret_output, const struct output_request *request, struct error *error);

/*
 * Puts the output under its name and closes it; with `sync`, contents and name are on stable storage then.
 * On failure (and after it) the output is as after output_file_discard. `path` is for messages.
 */
bool output_file_commit(struct output_file *output, const char *path, bool sync, struct error *error);

/*
 * The name of a file that waits for it, where nothing stands; for the rest of the job it is a file that is written in
 * place. On failure it still waits.
 */
bool output_file_name(struct output_file *output, const char *path, struct error *error);
/* The names of all that have one in the same directory are on stable storage then. */
bool output_file_sync_name(const struct output_file *output, const char *path, struct error *error);
/* Takes that name away again. */
void output_file_unname(struct output_file *output);

/*
 * Before output_file_commit of what the output refers to: removes what stands under its name. A new file stays what it
 * is; of others nothing happens.
 */
bool output_file_withdraw(const struct output_file *output, const char *path, bool sync, struct error *error);

/* Closes the output and removes what was written, except from a device. May be called twice. */
void output_file_discard(struct output_file *output);

#endif
