/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The progress of a job, on a terminal: percentage, bar, bytes, rate and time left in one line that is redrawn a
 * few times per second.
 */
#ifndef INSTAR_HOST_CLI_PROGRESS_BAR_H
#define INSTAR_HOST_CLI_PROGRESS_BAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/cli/output_console.h"

/* The widest line that is drawn, bytes. */
#define PROGRESS_LINE_LEN 256

struct progress {
    uint64_t bytes; /* done */
    uint64_t total_bytes;
    uint64_t rate; /* bytes per second, 0: not known yet */
};

/*
 * Writes the line for a terminal of `columns` columns, less one, as a full line makes some terminals scroll. What
 * has no room is left out: first the bar, then from the right. Returns the line's length.
 */
size_t progress_line_format(char line[PROGRESS_LINE_LEN], unsigned int columns, const struct progress *progress);

/*
 * The same for other things than bytes: the percentage, a bar, and as many of the fields, from the left, as have room.
 * A field brings the spaces before it.
 */
size_t progress_line_compose(char line[PROGRESS_LINE_LEN], unsigned int columns, unsigned int done_percent,
                             const char *const *fields, size_t field_count);
/* "1:05" or "2:00:00", in at most `text_len` bytes. */
#define PROGRESS_TIME_LEN 32
void progress_time_format(char *text, size_t text_len, uint64_t seconds);
/* How wide the terminal is. */
unsigned int progress_terminal_columns(int fd);

struct progress_bar {
    struct console *console; /* of the terminal */
    struct progress progress;
    uint64_t start_ms;
    uint64_t drawn_ms;    /* when the line was drawn last */
    uint64_t rated_ms;    /* when the rate was taken last, and */
    uint64_t rated_bytes; /* how far the job was then */
    double rate;          /* bytes per second, smoothed */
    size_t line_len;      /* of what is on the terminal; 0: nothing */
};

/* How often a bar wants progress_bar_draw to be called, milliseconds. */
#define PROGRESS_BAR_INTERVAL_MS 100u

void progress_bar_init(struct progress_bar *bar, struct console *console);
void progress_bar_update(struct progress_bar *bar, uint64_t bytes, uint64_t total_bytes);
/* Draws when it is time to. */
void progress_bar_draw(struct progress_bar *bar);
/* Takes the line away, so that other text can be printed, or at the end. */
void progress_bar_clear(struct progress_bar *bar);

#endif
