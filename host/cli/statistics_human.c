/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/attributes.h"
#include "host/cli/numbers.h"
#include "host/cli/statistics_print.h"

/* Column widths: of the names on the left, and of each figure. */
#define NAME_WIDTH (-24)
#define FIGURE_WIDTH 16

static void print_exits(FILE *stream, const instar_Statistics *statistics)
{
    struct exit_count counts[EXIT_KIND_COUNT];
    statistics_exits(statistics, counts);
    fprintf(stream, "%*s%*s%*s\n", NAME_WIDTH, "exits", FIGURE_WIDTH, "count", FIGURE_WIDTH, "share");
    for (size_t i = 0; i < EXIT_KIND_COUNT; i++) {
        double share = statistics->exits > 0 ? (double)counts[i].count / (double)statistics->exits * 100 : 0;
        fprintf(stream, "  %*s%*" PRIu64 "%*.1f %%\n", NAME_WIDTH + 2, counts[i].name, FIGURE_WIDTH, counts[i].count,
                FIGURE_WIDTH - 2, share);
    }
    fprintf(stream, "  %*s%*" PRIu64 "\n", NAME_WIDTH + 2, "total", FIGURE_WIDTH, statistics->exits);
}

/* A row of the device table: one figure of each device. */
struct device_row {
    const char *name;
    size_t offset; /* of the uint64_t in instar_DeviceStatistics */
};

#define ROW(name, field)                               \
    {                                                  \
        name, offsetof(instar_DeviceStatistics, field) \
    }

static const struct device_row device_rows[] = {
    ROW("bytes read", bytes_read),
    ROW("bytes written", bytes_written),
    ROW("bytes copied", bytes_copied),
    ROW("bytes shared", bytes_shared),
    ROW("zero bytes found", bytes_zero),
    ROW("read requests", reads),
    ROW("write requests", writes),
    ROW("flush requests", flushes),
    ROW("discard requests", discards),
    ROW("write-zeroes requests", write_zeroes),
    ROW("get-id requests", get_ids),
    ROW("extents requests", extents),
    ROW("set-length requests", set_lens),
    ROW("copy requests", copies),
    ROW("failed requests", failures),
    ROW("backend operations", operations),
    ROW("merged requests", merges),
    ROW("batches", batches),
    ROW("kicks", kicks),
    ROW("notifications", notifications),
};

static uint64_t row_figure(const instar_DeviceStatistics *device, const struct device_row *row)
{
    return *(const uint64_t *)((const char *)device + row->offset);
}

static void print_device_names(FILE *stream, const instar_Statistics *statistics)
{
    char name[STATISTICS_NAME_LEN];
    fprintf(stream, "%*s", NAME_WIDTH, "devices");
    for (size_t i = 0; i < statistics->devices_count; i++) {
        fprintf(stream, " %*s", FIGURE_WIDTH - 1, escape_text(name, sizeof(name), statistics->devices[i].name));
    }
    fprintf(stream, "\n  %*s", NAME_WIDTH + 2, "backend");
    for (size_t i = 0; i < statistics->devices_count; i++) {
        fprintf(stream, " %*s", FIGURE_WIDTH - 1, escape_text(name, sizeof(name), statistics->devices[i].backend));
    }
    fprintf(stream, "\n  %*s", NAME_WIDTH + 2, "sector size");
    for (size_t i = 0; i < statistics->devices_count; i++) {
        fprintf(stream, "%*" PRIu32, FIGURE_WIDTH, statistics->devices[i].sector_size);
    }
    fprintf(stream, "\n");
}

static void print_device_sectors(FILE *stream, const instar_Statistics *statistics, bool is_read)
{
    fprintf(stream, "  %*s", NAME_WIDTH + 2, is_read ? "sectors read" : "sectors written");
    for (size_t i = 0; i < statistics->devices_count; i++) {
        const instar_DeviceStatistics *device = &statistics->devices[i];
        uint64_t bytes = is_read ? device->bytes_read : device->bytes_written;
        fprintf(stream, "%*" PRIu64, FIGURE_WIDTH, statistics_sectors(device, bytes));
    }
    fprintf(stream, "\n  %*s", NAME_WIDTH + 2, is_read ? "read rate" : "write rate");
    for (size_t i = 0; i < statistics->devices_count; i++) {
        const instar_DeviceStatistics *device = &statistics->devices[i];
        uint64_t bytes = is_read ? device->bytes_read : device->bytes_written;
        char size[SIZE_TEXT_LEN];
        size_format(size, (uint64_t)statistics_per_second(statistics, bytes));
        fprintf(stream, "%*s/s", FIGURE_WIDTH - 2, size);
    }
    fprintf(stream, "\n");
}

static void print_devices(FILE *stream, const instar_Statistics *statistics)
{
    print_device_names(stream, statistics);
    print_device_sectors(stream, statistics, true);
    print_device_sectors(stream, statistics, false);
    for (size_t row = 0; row < ARRAY_COUNT(device_rows); row++) {
        fprintf(stream, "  %*s", NAME_WIDTH + 2, device_rows[row].name);
        for (size_t i = 0; i < statistics->devices_count; i++) {
            fprintf(stream, "%*" PRIu64, FIGURE_WIDTH, row_figure(&statistics->devices[i], &device_rows[row]));
        }
        fprintf(stream, "\n");
    }
}

static void print_machine(FILE *stream, const instar_Statistics *statistics)
{
    struct derived_statistics derived = statistics_derive(statistics);
    char size[SIZE_TEXT_LEN];
    fprintf(stream, "machine\n");
    fprintf(stream, "  %*s%*.3f s\n", NAME_WIDTH + 2, "run time", FIGURE_WIDTH - 2, derived.seconds);
    fprintf(stream, "  %*s%*s\n", NAME_WIDTH + 2, "peak memory", FIGURE_WIDTH,
            size_format(size, statistics->peak_memory));
    fprintf(stream, "  %*s%*.1f\n", NAME_WIDTH + 2, "exits per second", FIGURE_WIDTH, derived.exits_per_second);
    fprintf(stream, "  %*s%*.4f\n", NAME_WIDTH + 2, "MMIO exits per sector", FIGURE_WIDTH,
            derived.mmio_exits_per_sector);
    fprintf(stream, "  %*s%*.1f\n", NAME_WIDTH + 2, "bytes per exit", FIGURE_WIDTH, derived.bytes_per_exit);
    fprintf(stream, "  %*s%*" PRIu64 "\n", NAME_WIDTH + 2, "coalesced writes", FIGURE_WIDTH,
            statistics->coalesced_writes);
    fprintf(stream, "  %*s%*" PRIu64 "\n", NAME_WIDTH + 2, "waits", FIGURE_WIDTH, statistics->waits);
}

/* The kernel counts a lot, and most of it is 0 in most runs. */
static void print_kernel(FILE *stream, const instar_Statistics *statistics)
{
    if (!statistics->kernel_statistics_supported) {
        fprintf(stream, "kernel: does not offer statistics\n");
        return;
    }
    fprintf(stream, "kernel (without those that are 0)\n");
    for (size_t i = 0; i < statistics->kernel_statistics_count; i++) {
        const instar_KernelStatistic *statistic = &statistics->kernel_statistics[i];
        char name[STATISTICS_NAME_LEN];
        char where[32] = "vm";
        if (statistic->value == 0) {
            continue;
        }
        if (statistic->vcpu >= 0) {
            snprintf(where, sizeof(where), "vcpu %" PRId64, statistic->vcpu);
        }
        fprintf(stream, "  %-8s%-40s %*" PRIu64 "\n", where, escape_text(name, sizeof(name), statistic->name),
                FIGURE_WIDTH, statistic->value);
    }
}

void statistics_print_human(FILE *stream, const instar_Statistics *statistics)
{
    print_machine(stream, statistics);
    print_exits(stream, statistics);
    print_devices(stream, statistics);
    print_kernel(stream, statistics);
}
