/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One side of a job, input or output, for devices that are no virtio-blk disk: the file's bytes, with the checks that
 * every transfer needs whoever asks for it.
 *
 * Calls come from one thread at a time: the device has a lock, or only one thread that transfers.
 */
#ifndef INSTAR_HOST_DEVICES_TRANSPORT_FILE_H
#define INSTAR_HOST_DEVICES_TRANSPORT_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "host/backends/backend.h"
#include "host/devices/write_room.h"

struct transport_file_statistics {
    uint64_t reads; /* calls */
    uint64_t writes;
    uint64_t flushes;
    uint64_t failures; /* of them, answered with an error */
    uint64_t bytes_read;
    uint64_t bytes_written;
};

struct transport_file {
    const char *name;        /* "input" or "output"; for messages */
    struct backend *backend; /* the caller's; NULL when it is closed */
    bool zeroed;             /* what is not written reads as zeros */
    struct write_room room;  /* for what the guest writes */
    struct transport_file_statistics statistics;
    int errno_value; /* of the first transfer that failed; 0: none did */
    char what[64];   /* that it was, for a message: "read at offset 4096" */
};

/*
 * Moves [off, off + len) of the file from or to `host`, memory that the guest may write to meanwhile. Waits for it.
 *
 * `off` and `len` may be any numbers a guest comes up with. False, with an error that ends the job: the range is not
 * within the file, the file is not writable, or the job's limit is passed. Otherwise *ret_errno is 0, or why the
 * file's content could not be had, which is the guest's to report.
 */
bool transport_file_read(struct transport_file *file, uint64_t off, void *host, uint64_t len, int *ret_errno,
                         struct error *error) MUST_CHECK;
bool transport_file_write(struct transport_file *file, uint64_t off, const void *host, uint64_t len, int *ret_errno,
                          struct error *error) MUST_CHECK;
/* Returns 0 or an errno value. */
int transport_file_flush(struct transport_file *file);

#endif
