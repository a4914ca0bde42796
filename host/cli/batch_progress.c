/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/batch_progress.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/attributes.h"
#include "base/checked.h"

void batch_progress_init(struct batch_progress_line *line, struct console *console)
{
    *line = (struct batch_progress_line){.console = console, .start_ns = worker_now_ns()};
}

size_t batch_progress_format(char text[PROGRESS_LINE_LEN], unsigned int columns, const struct batch_progress *progress,
                             double seconds)
{
    char left[PROGRESS_TIME_LEN];
    char texts[4][64] = {"", "", "", ""};
    uint64_t ended_count = progress->good_count + progress->bad_count;
    uint64_t behind_count = ended_count + progress->skipped_count;
    uint64_t total_count = max_u64(progress->total_count, behind_count); /* a manifest may grow meanwhile */
    double rate = seconds > 0 ? (double)ended_count / seconds : 0;
    snprintf(texts[0], sizeof(texts[0]), "%" PRIu64 " of %" PRIu64, behind_count, total_count);
    snprintf(texts[1], sizeof(texts[1]), "  %" PRIu64 " failed", progress->bad_count);
    snprintf(texts[2], sizeof(texts[2]), "  %.1f/s", rate);
    if (progress->is_draining) {
        snprintf(texts[3], sizeof(texts[3]), "  ending, %" PRIu32 " run", progress->running_count);
    } else if (rate > 0) {
        progress_time_format(left, sizeof(left), (uint64_t)((double)(total_count - behind_count) / rate));
        snprintf(texts[3], sizeof(texts[3]), "  %s left", left);
    }
    unsigned int done_percent = total_count > 0 ? (unsigned int)(behind_count * 100 / total_count) : 0;
    const char *fields[] = {texts[0], texts[1], texts[2], texts[3]};
    return progress_line_compose(text, columns, done_percent, fields, ARRAY_COUNT(fields));
}

void batch_progress_draw(struct batch_progress_line *line, const struct batch_progress *progress)
{
    uint64_t now_ns = worker_now_ns();
    if (line->console == NULL || now_ns - line->drawn_ns < BATCH_PROGRESS_INTERVAL_MS * UINT64_C(1000000)) {
        return;
    }
    char text[PROGRESS_LINE_LEN];
    double seconds = (double)(now_ns - line->start_ns) / 1e9;
    size_t len = batch_progress_format(text, progress_terminal_columns(line->console->fd), progress, seconds);
    size_t rest = line->line_len > len ? line->line_len - len : 0;
    console_print(line->console, "\r%s%*s", text, (int)rest, "");
    console_flush(line->console);
    line->line_len = len;
    line->drawn_ns = now_ns;
}

void batch_progress_clear(struct batch_progress_line *line)
{
    if (line->console != NULL && line->line_len > 0) {
        console_print(line->console, "\r%*s\r", (int)line->line_len, "");
        console_flush(line->console);
        line->line_len = 0;
    }
}

void batch_summary_print(const struct batch_result *result)
{
    const struct batch_progress *progress = &result->progress;
    const char *separator = ": ";
    uint64_t behind_count = progress->good_count + progress->bad_count + progress->skipped_count;
    printf("%" PRIu64 " jobs", progress->good_count + progress->bad_count);
    for (int outcome = 0; outcome < BATCH_OUTCOME_COUNT; outcome++) {
        if (progress->counts[outcome] > 0) {
            printf("%s%" PRIu64 " %s", separator, progress->counts[outcome],
                   batch_outcome_name((enum batch_outcome)outcome));
            separator = ", ";
        }
    }
    if (progress->skipped_count > 0) {
        printf("; %" PRIu64 " were done before", progress->skipped_count);
    }
    if (progress->total_count > behind_count) {
        printf("; %" PRIu64 " were not begun%s", progress->total_count - behind_count,
               result->was_stopped ? ", after so many failures" : "");
    }
    printf("\n");
}
