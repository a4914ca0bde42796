/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel between a job's child and its parent: JobEvents, framed as in abi/framing.h, through a pipe.
 *
 * Both ends work in batches. A job may report its progress a million times: one system call per message
 * would cost more than the rest of the way.
 */
#ifndef INSTAR_HOST_JOB_CHANNEL_H
#define INSTAR_HOST_JOB_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/framing.h"
#include "base/span.h"
#include "host/job/job.pb.h"

#define CHANNEL_BUFFER_LEN 65536u
_Static_assert(CHANNEL_BUFFER_LEN >= FRAME_HEAD_LEN + instar_JobEvent_size, "the largest event fits a buffer");

/* Both structs are large: allocate them. */

struct channel_writer {
    int fd;
    size_t len; /* bytes that wait to be written */
    uint8_t buffer[CHANNEL_BUFFER_LEN];
    instar_JobEvent scratch; /* for the shorthands below */
};

/* The descriptor stays the caller's. */
void channel_writer_init(struct channel_writer *writer, int fd);
/* Appends an event; writes only when the buffer is full. Returns false when the parent is gone. */
bool channel_writer_append(struct channel_writer *writer, const instar_JobEvent *event);
/* Shorthands. A message longer than JobEvent.guest_message can be is the caller's error: false. */
bool channel_writer_append_guest_message(struct channel_writer *writer, struct span encoded);
bool channel_writer_append_debug_line(struct channel_writer *writer, const char *text); /* cut when too long */
/* Writes what waits. Returns false when the parent is gone; then nothing waits any more. */
bool channel_writer_flush(struct channel_writer *writer);

enum channel_status {
    CHANNEL_EVENT,      /* reader->event is the next one */
    CHANNEL_INCOMPLETE, /* fill first */
    CHANNEL_MALFORMED,  /* the other side does not follow the protocol; nothing after this can be read */
};

struct channel_reader {
    int fd;
    size_t start; /* bytes from start to end of the buffer are not used up */
    size_t end;
    uint8_t buffer[CHANNEL_BUFFER_LEN];
    instar_JobEvent event;
};

void channel_reader_init(struct channel_reader *reader, int fd);
/* One read, after channel_reader_next found nothing complete. Returns how many bytes came, 0 at the end of the stream,
 * or a negative errno. */
int channel_reader_fill(struct channel_reader *reader);
/* Takes the next event out of the buffer. */
enum channel_status channel_reader_next(struct channel_reader *reader);

#endif
