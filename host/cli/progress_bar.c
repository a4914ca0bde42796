/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/progress_bar.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "base/checked.h"
#include "host/cli/numbers.h"

/* A job that is done by then shows no bar: it would only flash. */
#define FIRST_DRAW_MS 200u
/* The rate is an average over about this long, so that a stall shows soon, and holes do not make it jump. */
#define RATE_WINDOW_S 3.0
#define RATE_INTERVAL_MS 500u
#define COLUMNS_DEFAULT 80u
#define BAR_COLUMNS_MIN 10u
#define BAR_COLUMNS_MAX 60u

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static unsigned int percent(const struct progress *progress)
{
    if (progress->total_bytes == 0) {
        return 0;
    }
    return (unsigned int)((double)progress->bytes / (double)progress->total_bytes * 100);
}

void progress_time_format(char *text, size_t text_len, uint64_t seconds)
{
    uint64_t minutes = seconds / 60;
    if (minutes < 60) {
        snprintf(text, text_len, "%" PRIu64 ":%02" PRIu64, minutes, seconds % 60);
    } else {
        snprintf(text, text_len, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, minutes / 60, minutes % 60, seconds % 60);
    }
}

/* "[====>    ]  " in `columns` columns. */
static void bar_format(char *text, size_t columns, unsigned int done_percent)
{
    size_t inside = columns - 4;
    size_t done = inside * done_percent / 100;
    memset(text, ' ', columns);
    text[0] = '[';
    memset(text + 1, '=', done);
    if (done < inside) {
        text[1 + done] = '>';
    }
    text[1 + inside] = ']';
}

/* As many of the fields as fit into `room` columns. */
static size_t fields_join(char *text, size_t room, const char *const *fields, size_t field_count)
{
    size_t len = 0;
    for (size_t i = 0; i < field_count; i++) {
        size_t field_len = strlen(fields[i]);
        if (len + field_len > room) {
            break;
        }
        memcpy(text + len, fields[i], field_len);
        len += field_len;
    }
    return len;
}

size_t progress_line_compose(char line[PROGRESS_LINE_LEN], unsigned int columns, unsigned int done_percent,
                             const char *const *fields, size_t field_count)
{
    size_t room = min_u64(columns > 0 ? columns - 1 : 0, PROGRESS_LINE_LEN - 1);
    char text[PROGRESS_LINE_LEN];
    size_t len = (size_t)snprintf(text, sizeof(text), "%3u%%  ", done_percent);
    if (len > room) {
        line[0] = '\0';
        return 0;
    }
    char joined[PROGRESS_LINE_LEN];
    size_t joined_len = fields_join(joined, room - len, fields, field_count);
    size_t bar_columns = min_u64(room - len - joined_len, BAR_COLUMNS_MAX);
    if (joined_len > 0 && bar_columns >= BAR_COLUMNS_MIN) {
        bar_format(text + len, bar_columns, done_percent);
        len += bar_columns;
    }
    memcpy(text + len, joined, joined_len);
    len += joined_len;
    memcpy(line, text, len);
    line[len] = '\0';
    return len;
}

size_t progress_line_format(char line[PROGRESS_LINE_LEN], unsigned int columns, const struct progress *progress)
{
    char done[SIZE_TEXT_LEN];
    char total[SIZE_TEXT_LEN];
    char rate[SIZE_TEXT_LEN];
    char left[PROGRESS_TIME_LEN];
    char texts[3][64] = {"", "", ""};
    /* Of a steady width. */
    snprintf(texts[0], sizeof(texts[0]), "%9s of %s", size_format(done, progress->bytes),
             size_format(total, progress->total_bytes));
    if (progress->rate > 0) {
        uint64_t left_s = (progress->total_bytes - progress->bytes) / progress->rate;
        progress_time_format(left, sizeof(left), left_s);
        snprintf(texts[1], sizeof(texts[1]), "  %9s/s", size_format(rate, progress->rate));
        snprintf(texts[2], sizeof(texts[2]), "  %7s left", left);
    }
    const char *fields[] = {texts[0], texts[1], texts[2]};
    return progress_line_compose(line, columns, percent(progress), fields, ARRAY_COUNT(fields));
}

unsigned int progress_terminal_columns(int fd)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
        return COLUMNS_DEFAULT;
    }
    return size.ws_col;
}

void progress_bar_init(struct progress_bar *bar, struct console *console)
{
    uint64_t now = now_ms();
    *bar = (struct progress_bar){.console = console, .start_ms = now, .rated_ms = now};
}

void progress_bar_update(struct progress_bar *bar, uint64_t bytes, uint64_t total_bytes)
{
    bar->progress.bytes = bytes;
    bar->progress.total_bytes = total_bytes;
}

static void rate_update(struct progress_bar *bar, uint64_t now)
{
    uint64_t bytes = max_u64(bar->progress.bytes, bar->rated_bytes);
    if (now - bar->rated_ms < RATE_INTERVAL_MS && bar->rate > 0) {
        return;
    }
    if (now == bar->rated_ms) {
        return;
    }
    double seconds = (double)(now - bar->rated_ms) / 1000;
    double rate = (double)(bytes - bar->rated_bytes) / seconds;
    double weight = bar->rate > 0 ? seconds / (seconds + RATE_WINDOW_S) : 1;
    bar->rate += weight * (rate - bar->rate);
    bar->progress.rate = (uint64_t)bar->rate;
    bar->rated_ms = now;
    bar->rated_bytes = bytes;
}

void progress_bar_draw(struct progress_bar *bar)
{
    uint64_t now = now_ms();
    uint64_t due_ms = bar->drawn_ms != 0 ? bar->drawn_ms + PROGRESS_BAR_INTERVAL_MS : bar->start_ms + FIRST_DRAW_MS;
    if (now < due_ms || bar->progress.total_bytes == 0) {
        return;
    }
    rate_update(bar, now);
    char line[PROGRESS_LINE_LEN];
    size_t len = progress_line_format(line, progress_terminal_columns(bar->console->fd), &bar->progress);
    /* Spaces over what is left of a longer line: this works on any terminal. */
    size_t rest = bar->line_len > len ? bar->line_len - len : 0;
    console_print(bar->console, "\r%s%*s", line, (int)rest, "");
    console_flush(bar->console);
    bar->line_len = len;
    bar->drawn_ms = now;
}

void progress_bar_clear(struct progress_bar *bar)
{
    if (bar->line_len > 0) {
        console_print(bar->console, "\r%*s\r", (int)bar->line_len, "");
        bar->line_len = 0;
    }
}
