/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/statistics_print.h"

#include <string.h>

#include "base/attributes.h"
#include "base/checked.h"

static const char *const format_names[] = {
    [STATISTICS_HUMAN] = "human",
    [STATISTICS_JSON] = "json",
    [STATISTICS_PROMETHEUS] = "prometheus",
};

bool statistics_format_parse(const char *name, enum statistics_format *ret_format)
{
    for (size_t i = 0; i < ARRAY_COUNT(format_names); i++) {
        if (strcmp(name, format_names[i]) == 0) {
            *ret_format = (enum statistics_format)i;
            return true;
        }
    }
    return false;
}

void statistics_prepare(enum statistics_format format)
{
    if (format == STATISTICS_JSON) {
        statistics_prepare_json();
    }
}

void statistics_print(FILE *stream, enum statistics_format format, const instar_Statistics *statistics)
{
    switch (format) {
    case STATISTICS_HUMAN:
        statistics_print_human(stream, statistics);
        break;
    case STATISTICS_JSON:
        statistics_print_json(stream, statistics);
        break;
    case STATISTICS_PROMETHEUS:
        statistics_print_prometheus(stream, statistics);
        break;
    }
}

void statistics_exits(const instar_Statistics *statistics, struct exit_count ret_counts[EXIT_KIND_COUNT])
{
    const struct exit_count counts[EXIT_KIND_COUNT - 1] = {
        {"io-in", statistics->io_in},
        {"io-out", statistics->io_out},
        {"mmio-read", statistics->mmio_read},
        {"mmio-write", statistics->mmio_write},
        {"hlt", statistics->hlt},
        {"shutdown", statistics->shutdown},
        {"fail-entry", statistics->fail_entry},
        {"interrupted", statistics->interrupted},
        {"unknown", statistics->unknown},
    };
    uint64_t rest = statistics->exits;
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
        ret_counts[i] = counts[i];
        rest -= counts[i].count <= rest ? counts[i].count : rest;
    }
    ret_counts[EXIT_KIND_COUNT - 1] = (struct exit_count){"other", rest};
}

uint64_t statistics_sectors(const instar_DeviceStatistics *device, uint64_t bytes)
{
    if (device->sector_size == 0) {
        return 0;
    }
    return divide_up(bytes, device->sector_size);
}

static double ratio(double numerator, double denominator)
{
    return denominator > 0 ? numerator / denominator : 0;
}

double statistics_per_second(const instar_Statistics *statistics, uint64_t count)
{
    return ratio((double)count, (double)statistics->wall_ns / 1e9);
}

struct derived_statistics statistics_derive(const instar_Statistics *statistics)
{
    double bytes = 0;
    double sectors = 0;
    for (size_t i = 0; i < statistics->devices_count; i++) {
        const instar_DeviceStatistics *device = &statistics->devices[i];
        bytes += (double)device->bytes_read + (double)device->bytes_written;
        sectors += (double)statistics_sectors(device, device->bytes_read);
        sectors += (double)statistics_sectors(device, device->bytes_written);
    }
    return (struct derived_statistics){
        .seconds = (double)statistics->wall_ns / 1e9,
        .exits_per_second = statistics_per_second(statistics, statistics->exits),
        .mmio_exits_per_sector = ratio((double)statistics->mmio_read + (double)statistics->mmio_write, sectors),
        .bytes_per_exit = ratio(bytes, (double)statistics->exits),
    };
}
