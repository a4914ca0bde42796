/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/status_lines.h"

#include <inttypes.h>

#include "host/cli/escape.h"
#include "host/cli/report.h"

static const char *plural(uint32_t count)
{
    return count == 1 ? "" : "s";
}

static void init_print(struct console *console, const instar_InitMessage *init)
{
    char program[ESCAPED_LEN(sizeof(init->program))];
    escape_text(program, sizeof(program), init->program);
    console_print(console, "init: %s, %" PRIu32 " vCPU%s, %" PRIu32 " device%s\n", program, init->vcpus,
                  plural(init->vcpus), init->devices, plural(init->devices));
}

static void capacity_print(struct console *console, const instar_CapacityMessage *capacity)
{
    char device[ESCAPED_LEN(sizeof(capacity->device))];
    escape_text(device, sizeof(device), capacity->device);
    console_print(console, "capacity: %s, %" PRIu64 " sectors of %" PRIu32 " bytes, %" PRIu64 " bytes\n", device,
                  capacity->sectors, capacity->sector_size, capacity->bytes);
}

static void progress_print(struct console *console, const instar_ProgressMessage *progress)
{
    double percent = 100;
    if (progress->total_sectors > 0) {
        percent = (double)progress->sectors / (double)progress->total_sectors * 100;
    }
    console_print(console, "progress: %" PRIu64 " of %" PRIu64 " sectors (%.1f %%)\n", progress->sectors,
                  progress->total_sectors, percent);
}

static void latency_print(struct console *console, const instar_LatencyMessage *latency)
{
    char what[ESCAPED_LEN(sizeof(latency->what))];
    escape_text(what, sizeof(what), latency->what);
    console_print(console,
                  "latency: %s, %" PRIu64 " times: min %" PRIu64 " ns, p50 %" PRIu64 " ns, p99 %" PRIu64
                  " ns, max %" PRIu64 " ns\n",
                  what, latency->count, latency->min_ns, latency->p50_ns, latency->p99_ns, latency->max_ns);
}

static void warning_print(struct console *console, const instar_WarningMessage *warning)
{
    char text[ESCAPED_LEN(sizeof(warning->text))];
    console_print(console, "warning: %s\n", escape_text(text, sizeof(text), warning->text));
}

static void message_print(void *context, const instar_GuestMessage *message)
{
    struct status_lines *lines = context;
    struct console *console = lines->console;
    enum line_verdict verdict = line_budget_take(&lines->budget);
    if (verdict == LINE_FIRST_LEFT_OUT) {
        console_print(console, "more lines are left out (--max-lines)\n");
    }
    if (verdict != LINE_PRINTED) {
        return;
    }
    switch (message->which_kind) {
    case instar_GuestMessage_init_tag:
        init_print(console, &message->kind.init);
        break;
    case instar_GuestMessage_capacity_tag:
        capacity_print(console, &message->kind.capacity);
        break;
    case instar_GuestMessage_latency_tag:
        latency_print(console, &message->kind.latency);
        break;
    case instar_GuestMessage_warning_tag:
        warning_print(console, &message->kind.warning);
        break;
    default:
        progress_print(console, &message->kind.progress);
        break;
    }
}

static void debug_line_print(void *context, const char *text)
{
    struct status_lines *lines = context;
    char escaped[ESCAPED_LEN(sizeof(((instar_DebugLine *)0)->text))];
    console_print(lines->console, "debug: %s\n", escape_text(escaped, sizeof(escaped), text));
}

static void child_text_print(void *context, const char *text)
{
    struct status_lines *lines = context;
    char line[REPORT_CHILD_TEXT_LEN];
    console_print(lines->console, "%s", report_child_text(line, "instar-vmm", text));
}

static void without_kvm_print(void *context, const struct error *reason)
{
    struct status_lines *lines = context;
    char notice[REPORT_NOTICE_LEN];
    console_print(lines->console, "%s", report_without_kvm(notice, "instar-vmm", reason));
}

static void in_place_print(void *context, const char *path, const char *reason)
{
    char notice[REPORT_NOTICE_LEN];
    console_print(context, "%s", report_in_place(notice, "instar-vmm", path, reason));
}

static void idle(void *context)
{
    struct status_lines *lines = context;
    console_flush(lines->console);
}

struct job_observer status_lines_observer(struct status_lines *lines, struct console *console,
                                          const struct job_limits *limits)
{
    *lines = (struct status_lines){.console = console, .budget.max = line_budget_max(limits, LINES_OF_STATUS)};
    return (struct job_observer){
        .context = lines,
        .guest_message = message_print,
        .debug_line = debug_line_print,
        .child_text = child_text_print,
        .without_kvm = without_kvm_print,
        .in_place = in_place_print,
        .idle = idle,
    };
}

void status_lines_complete(struct console *console, const instar_CompleteMessage *complete)
{
    console_print(console, "complete: %" PRIu64 " bytes read, %" PRIu64 " written, %" PRIu64 " zero\n",
                  complete->bytes_read, complete->bytes_written, complete->bytes_zero);
}
