/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program that copies the input to the output over whatever transport the machine has (guest/transports), so that
 * transports can be compared: nothing else differs. One buffer, filled and emptied in turn.
 *
 * With VmmConfig.latency_reads it copies nothing, and measures how long single reads take instead. A machine that reads
 * for another one, which is the one that copies, only does that.
 */
#include <string.h>

#include "abi/ports.h"
#include "base/checked.h"
#include "base/text.h"
#include "guest/operations/job/progress.h"
#include "guest/operations/job/progress_report.h"
#include "guest/operations/reader/zero_scan.h"
#include "guest/runtime/messages.h"
#include "guest/runtime/platform.h"
#include "guest/runtime/runtime.h"
#include "guest/transports/transport.h"

#define REQUEST_LEN_DEFAULT (1u << 20)
#define DEPTH_DEFAULT 16u
/* A call of four requests keeps a queue busy; below 1 MiB the calls themselves would count. */
#define BUFFER_REQUESTS 4u
#define BUFFER_LEN_MIN (1ull << 20)
#define BUFFER_LEN_MAX (16ull << 20)

/* Of one read that is measured. */
#define LATENCY_READ_LEN 4096u
/* Samples are kept, to be sorted: so many at most. */
#define LATENCY_COUNT_MAX 100000u
#define LATENCY_SIGNAL_COUNT 1000u

struct program {
    struct runtime *runtime;
    const instar_VmmConfig *config;
    struct transport *transport;
    uint8_t *buffer;
    uint64_t buffer_len;
    instar_CompleteMessage complete;
};

static uint32_t sector_len_of(const instar_VmmConfig *config, const char *name)
{
    for (pb_size_t i = 0; i < config->devices_count; i++) {
        if (strcmp(config->devices[i].name, name) == 0 && config->devices[i].sector_size != 0) {
            return config->devices[i].sector_size;
        }
    }
    return TRANSPORT_UNIT_LEN;
}

static struct transport_setup setup_make(struct program *program)
{
    const instar_VmmConfig *config = program->config;
    return (struct transport_setup){
        .boot = program->runtime->boot,
        .queues = &program->runtime->queues,
        .arena = &program->runtime->arena,
        .request_len = config->request_len != 0 ? config->request_len : REQUEST_LEN_DEFAULT,
        .input_name = config->input_name,
        .output_name = config->output_name,
        .depth = config->queue_depth != 0 ? config->queue_depth : DEPTH_DEFAULT,
    };
}

static bool set_up(struct program *program, struct error *error)
{
    const instar_VmmConfig *config = program->config;
    struct arena *arena = &program->runtime->arena;
    struct transport_setup setup = setup_make(program);
    if (setup.request_len % TRANSPORT_UNIT_LEN != 0) {
        return error_set(error, ERROR_USAGE, NULL, "requests of %u bytes are not whole units of %u bytes",
                         setup.request_len, TRANSPORT_UNIT_LEN);
    }
    RETURN_IF_FAILED(transport_open(&setup, &program->transport, error));
    uint64_t wanted_len =
        min_u64(max_u64((uint64_t)setup.request_len * BUFFER_REQUESTS, BUFFER_LEN_MIN), BUFFER_LEN_MAX);
    program->buffer_len = min_u64(wanted_len, round_down(arena_left(arena, LAYOUT_PAGE_LEN), LAYOUT_PAGE_LEN));
    program->buffer = arena_allocate(arena, program->buffer_len, LAYOUT_PAGE_LEN);
    if (program->buffer == NULL || program->buffer_len < LATENCY_READ_LEN) {
        return error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for a buffer");
    }
    uint64_t len = transport_size(program->transport);
    messages_send_capacity("input", len, sector_len_of(config, "input"));
    messages_send_capacity("output", len, sector_len_of(config, "output"));
    return true;
}

/* Runs of zeros are left out where the output has them anyway. */
static bool buffer_write(struct program *program, uint64_t off, uint64_t len, struct error *error)
{
    uint64_t unit_end = round_up(len, TRANSPORT_UNIT_LEN);
    memset(program->buffer + len, 0, (size_t)(unit_end - len));
    uint64_t done_len = 0;
    while (done_len < len) { /* ends: no run is empty before the end of the data */
        struct zero_run run = {.len = len - done_len};
        if (program->transport->is_output_zeroed) {
            run = zero_run_find((struct span){program->buffer + done_len, (size_t)(len - done_len)}, off + done_len);
        }
        if (run.is_zero) {
            program->complete.bytes_zero += run.len;
        } else {
            RETURN_IF_FAILED(
                transport_write(program->transport, off + done_len, program->buffer + done_len, run.len, error));
            program->complete.bytes_written += run.len;
        }
        done_len += run.len;
    }
    return true;
}

static bool copy(struct program *program, struct error *error)
{
    struct transport *transport = program->transport;
    uint64_t len = transport_size(transport);
    struct progress progress;
    progress_init(&progress, len, sector_len_of(program->config, "input"), program->config->progress_percent);
    for (uint64_t off = 0; off < len;) {
        uint64_t part_len = min_u64(len - off, program->buffer_len);
        RETURN_IF_FAILED(transport_read(transport, off, program->buffer, part_len, error));
        program->complete.bytes_read += part_len;
        RETURN_IF_FAILED(buffer_write(program, off, part_len, error));
        off += part_len;
        progress_add(&progress, part_len);
        transport_progress(transport, off);
        while (progress_report(&progress)) { /* ends: each report is sent once */
        }
    }
    RETURN_IF_FAILED(!program->config->sync || transport_flush(transport, error));
    return transport_finish(transport, error);
}

/* Shell sort by Ciura's gaps, and thirds above them: small, and no worse for what is sorted already. */
static void sort(uint64_t *values, uint32_t count)
{
    static const uint32_t gaps[] = {90927, 40412, 17961, 7983, 3548, 1577, 701, 301, 132, 57, 23, 10, 4, 1};
    for (unsigned int g = 0; g < ARRAY_COUNT(gaps); g++) {
        uint32_t gap = gaps[g];
        for (uint32_t i = gap; i < count; i++) {
            uint64_t value = values[i];
            uint32_t k = i;
            for (; k >= gap && values[k - gap] > value; k -= gap) {
                values[k] = values[k - gap];
            }
            values[k] = value;
        }
    }
}

static uint64_t nanoseconds(const struct program *program, uint64_t ticks)
{
    uint64_t khz = program->runtime->boot->tsc_khz;
    return khz != 0 ? ticks * 1000000u / khz : 0;
}

static void latency_send(const struct program *program, const char *what, uint64_t *ticks, uint32_t count)
{
    if (count == 0) {
        return;
    }
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_latency_tag};
    instar_LatencyMessage *latency = &message.kind.latency;
    sort(ticks, count);
    text_copy(latency->what, sizeof(latency->what), what);
    latency->count = count;
    latency->min_ns = nanoseconds(program, ticks[0]);
    latency->p50_ns = nanoseconds(program, ticks[count / 2]);
    latency->p99_ns = nanoseconds(program, ticks[(uint64_t)count * 99 / 100]);
    latency->max_ns = nanoseconds(program, ticks[count - 1]);
    messages_send(&message);
}

static bool reads_measure(struct program *program, uint64_t *ticks, uint32_t count, struct error *error)
{
    struct transport *transport = program->transport;
    uint64_t len = round_down(transport_size(transport), LATENCY_READ_LEN);
    uint64_t off = 0;
    uint32_t done_count = 0;
    while (done_count < count && off < len) {
        uint64_t start = platform_ticks();
        RETURN_IF_FAILED(transport_read(transport, off, program->buffer, LATENCY_READ_LEN, error));
        ticks[done_count++] = platform_ticks() - start;
        program->complete.bytes_read += LATENCY_READ_LEN;
        off += LATENCY_READ_LEN;
        if (off == len && !transport->operations->is_sequential) {
            off = 0;
        }
    }
    latency_send(program, "read of 4096 bytes", ticks, done_count);
    return true;
}

static void warning_send(const struct error *error)
{
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_warning_tag};
    text_copy(message.kind.warning.text, sizeof(message.kind.warning.text), error->detail);
    messages_send(&message);
}

static bool signals_measure(struct program *program, uint64_t *ticks, uint32_t count, struct error *error)
{
    const struct transport_operations *operations = program->transport->operations;
    for (uint32_t which = 0; which < operations->signal_count; which++) {
        const char *what = "";
        struct error failure = {0};
        bool success = true;
        for (uint32_t i = 0; i < count && success; i++) {
            uint64_t start = platform_ticks();
            success = operations->signal(program->transport, which, &what, &failure);
            ticks[i] = platform_ticks() - start;
        }
        if (!success && failure.kind == ERROR_UNSUPPORTED) {
            warning_send(&failure);
            continue;
        }
        if (!success) {
            *error = failure;
            return false;
        }
        latency_send(program, what, ticks, count);
    }
    return true;
}

static bool measure(struct program *program, struct error *error)
{
    uint32_t count = (uint32_t)min_u64(program->config->latency_reads, LATENCY_COUNT_MAX);
    uint64_t *ticks = arena_allocate(&program->runtime->arena, count * sizeof(*ticks), sizeof(*ticks));
    if (ticks == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for %u measurements", count);
    }
    RETURN_IF_FAILED(reads_measure(program, ticks, count, error));
    return signals_measure(program, ticks, (uint32_t)min_u64(count, LATENCY_SIGNAL_COUNT), error);
}

uint32_t program_main(struct runtime *runtime)
{
    static instar_VmmConfig config;
    static struct program program;
    struct error error = {0};
    if (!messages_receive_config(&config, &error)) {
        panic("%s", error.detail);
    }
    program.runtime = runtime;
    program.config = &config;
    if ((runtime->boot->transport.flags & BOOT_TRANSPORT_READER) != 0) {
        struct transport_setup setup = setup_make(&program);
        transport_serve(&setup);
    }
    messages_post_init("transport-copy", runtime->boot->vcpu_count, config.devices_count);
    bool success =
        set_up(&program, &error) && (config.latency_reads != 0 ? measure(&program, &error) : copy(&program, &error));
    if (!success) {
        messages_send_failure(&error);
        return EXIT_FINISHED;
    }
    program.complete.success = true;
    messages_send_complete(&program.complete);
    return EXIT_FINISHED;
}
