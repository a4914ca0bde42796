/* SPDX-License-Identifier: Apache-2.0 */
/* What a job prints, through a pipe, up to a bound: what is beyond it is read and dropped, so that the job goes on. */
#ifndef INSTAR_HOST_BATCH_CAPTURE_H
#define INSTAR_HOST_BATCH_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct capture {
    int fd; /* the pipe's reading end; -1: closed, or none */
    char *text;
    size_t len;
    size_t room;
    size_t len_max;
    bool is_cut;
};

/* Makes the pipe; *ret_fd is its writing end, the caller's. *capture is zero but for its fd, or was used and closed. */
bool capture_open(struct capture *capture, size_t len_max, int *ret_fd, struct error *error);
/* Takes what is there. Without memory for it, it is cut. */
void capture_take(struct capture *capture);
/* As if it had been printed. *capture is closed. */
void capture_set(struct capture *capture, const char *text);
void capture_close(struct capture *capture);
void capture_release(struct capture *capture);

#endif
