/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a manifest comes from. It is read twice, to count its jobs and to do them: what is no file (standard
 * input, a FIFO, a pipe of the shell's) is taken into a file in memory first, as writing it may take its time.
 */
#ifndef INSTAR_HOST_BATCH_MANIFEST_SOURCE_H
#define INSTAR_HOST_BATCH_MANIFEST_SOURCE_H

#include <stdbool.h>

#include "base/error.h"
#include "host/batch/line_file.h"

struct manifest_source {
    const char *name; /* for messages */
    int fd;           /* what it came by; -1: not opened */
    int memory_fd;    /* -1: it is a file or a block device */
};

/* What may end the wait for who writes it. */
struct manifest_wait {
    int fd;                         /* readable when there is something to take */
    bool (*is_over)(void *context); /* takes it, and says whether to wait no longer */
    void *context;
};

/*
 * `path` ("-": standard input) has to live as long as the source. What was read when the wait is over is a manifest,
 * too: the caller knows that it is to end. On failure it holds nothing.
 */
bool manifest_source_open(struct manifest_source *ret_source, const char *path, const struct manifest_wait *wait,
                          struct error *error);
void manifest_source_close(struct manifest_source *source);
/* Its lines, from the first one. One such file at a time. */
bool manifest_source_lines(const struct manifest_source *source, struct line_file *ret_file, struct error *error);

#endif
