/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job's statistics, for people (a table), for programs (JSON) and for Prometheus (its text format). The keys of
 * the latter two are stable: new ones may come, none changes its meaning.
 */
#ifndef INSTAR_HOST_CLI_STATISTICS_PRINT_H
#define INSTAR_HOST_CLI_STATISTICS_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "host/cli/escape.h"
#include "host/job/job.pb.h"

enum statistics_format {
    STATISTICS_HUMAN,
    STATISTICS_JSON,
    STATISTICS_PROMETHEUS,
};

bool statistics_format_parse(const char *name, enum statistics_format *ret_format);

/* Before the job: what printing takes from the system, which the parent cannot ask any more then. */
void statistics_prepare(enum statistics_format format);

/* Errors stay with the stream (ferror). */
void statistics_print(FILE *stream, enum statistics_format format, const instar_Statistics *statistics);

/* The rest is what the formats share. */

/* Exits by kind, in the order in which they are printed; the last one, "other", is what no kind accounts for. */
#define EXIT_KIND_COUNT 10u

struct exit_count {
    const char *name; /* as in JSON and Prometheus: "mmio-write" */
    uint64_t count;
};

void statistics_exits(const instar_Statistics *statistics, struct exit_count ret_counts[EXIT_KIND_COUNT]);

/* Figures that follow from others. 0 where there is nothing to divide by. */
struct derived_statistics {
    double seconds;
    double exits_per_second;
    double mmio_exits_per_sector; /* sectors read from and written to all devices */
    double bytes_per_exit;
};

struct derived_statistics statistics_derive(const instar_Statistics *statistics);
/* Sectors that hold these bytes, of the device's sector size; a partial one counts. */
uint64_t statistics_sectors(const instar_DeviceStatistics *device, uint64_t bytes);
double statistics_per_second(const instar_Statistics *statistics, uint64_t count);

/* Names come from a process that has been in touch with the guest. */
#define STATISTICS_NAME_LEN ESCAPED_LEN(48)

void statistics_print_human(FILE *stream, const instar_Statistics *statistics);
void statistics_prepare_json(void);
void statistics_print_json(FILE *stream, const instar_Statistics *statistics);
void statistics_print_prometheus(FILE *stream, const instar_Statistics *statistics);

#endif
