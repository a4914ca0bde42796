/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text format of Prometheus, version 0.0.4: for each metric its help, its type and its samples. A textfile
 * collector can take it as it is.
 */
#include <inttypes.h>

#include "base/attributes.h"
#include "host/cli/statistics_print.h"

static void print_head(FILE *stream, const char *name, const char *type, const char *help)
{
    fprintf(stream, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* The value of a label: after escape_text only backslashes and quotes are special. */
static void print_label(FILE *stream, const char *untrusted)
{
    char escaped[STATISTICS_NAME_LEN];
    escape_text(escaped, sizeof(escaped), untrusted);
    fputc('"', stream);
    for (const char *at = escaped; *at != '\0'; at++) {
        if (*at == '\\' || *at == '"') {
            fputc('\\', stream);
        }
        fputc(*at, stream);
    }
    fputc('"', stream);
}

static void print_exits(FILE *stream, const instar_Statistics *statistics)
{
    struct exit_count counts[EXIT_KIND_COUNT];
    statistics_exits(statistics, counts);
    print_head(stream, "instar_vm_exits_total", "counter", "Exits of the virtual machine by kind.");
    for (size_t i = 0; i < EXIT_KIND_COUNT; i++) {
        fprintf(stream, "instar_vm_exits_total{kind=\"");
        for (const char *at = counts[i].name; *at != '\0'; at++) {
            fputc(*at == '-' ? '_' : *at, stream);
        }
        fprintf(stream, "\"} %" PRIu64 "\n", counts[i].count);
    }
}

static void print_machine(FILE *stream, const instar_Statistics *statistics)
{
    print_head(stream, "instar_vm_coalesced_writes_total", "counter",
               "Port and register writes that cost no exit of their own.");
    fprintf(stream, "instar_vm_coalesced_writes_total %" PRIu64 "\n", statistics->coalesced_writes);
    print_head(stream, "instar_vm_waits_total", "counter", "Times a virtual processor waited for a completion.");
    fprintf(stream, "instar_vm_waits_total %" PRIu64 "\n", statistics->waits);
    print_head(stream, "instar_vm_run_seconds", "gauge", "Time from the first guest instruction to the last.");
    fprintf(stream, "instar_vm_run_seconds %.9f\n", (double)statistics->wall_ns / 1e9);
    print_head(stream, "instar_vm_peak_memory_bytes", "gauge", "Peak memory of the process that runs the machine.");
    fprintf(stream, "instar_vm_peak_memory_bytes %" PRIu64 "\n", statistics->peak_memory);
}

/* A sample of a device metric: an extra label tells samples of one metric apart. */
struct device_sample {
    const char *metric;
    const char *help; /* NULL: the metric is that of the sample before */
    const char *label;
    const char *value;
    size_t offset; /* of the uint64_t in instar_DeviceStatistics */
};

#define FIGURE(field) offsetof(instar_DeviceStatistics, field)

static const struct device_sample device_samples[] = {
    {"instar_device_requests_total", "Requests of the guest by type.", "type", "read", FIGURE(reads)},
    {"instar_device_requests_total", NULL, "type", "write", FIGURE(writes)},
    {"instar_device_requests_total", NULL, "type", "flush", FIGURE(flushes)},
    {"instar_device_requests_total", NULL, "type", "discard", FIGURE(discards)},
    {"instar_device_requests_total", NULL, "type", "write_zeroes", FIGURE(write_zeroes)},
    {"instar_device_requests_total", NULL, "type", "get_id", FIGURE(get_ids)},
    {"instar_device_requests_total", NULL, "type", "extents", FIGURE(extents)},
    {"instar_device_requests_total", NULL, "type", "set_length", FIGURE(set_lens)},
    {"instar_device_requests_total", NULL, "type", "copy", FIGURE(copies)},
    {"instar_device_failures_total", "Requests that failed.", NULL, NULL, FIGURE(failures)},
    {"instar_device_bytes_total", "Bytes moved.", "direction", "read", FIGURE(bytes_read)},
    {"instar_device_bytes_total", NULL, "direction", "write", FIGURE(bytes_written)},
    {"instar_device_copied_bytes_total", "Bytes from another device, without the guest.", "way", "written",
     FIGURE(bytes_copied)},
    {"instar_device_copied_bytes_total", NULL, "way", "shared", FIGURE(bytes_shared)},
    {"instar_device_copied_bytes_total", NULL, "way", "zero", FIGURE(bytes_zero)},
    {"instar_device_operations_total", "Operations of the backend, after merging.", NULL, NULL, FIGURE(operations)},
    {"instar_device_merges_total", "Requests merged into the one before.", NULL, NULL, FIGURE(merges)},
    {"instar_device_batches_total", "Times the ring was drained.", NULL, NULL, FIGURE(batches)},
    {"instar_device_kicks_total", "Notifications from the guest.", NULL, NULL, FIGURE(kicks)},
    {"instar_device_notifications_total", "Notifications to the guest.", NULL, NULL, FIGURE(notifications)},
};

static void print_device_sample(FILE *stream, const struct device_sample *sample, const instar_DeviceStatistics *device)
{
    fprintf(stream, "%s{device=", sample->metric);
    print_label(stream, device->name);
    fprintf(stream, ",backend=");
    print_label(stream, device->backend);
    if (sample->label != NULL) {
        fprintf(stream, ",%s=\"%s\"", sample->label, sample->value);
    }
    fprintf(stream, "} %" PRIu64 "\n", *(const uint64_t *)((const char *)device + sample->offset));
}

static void print_devices(FILE *stream, const instar_Statistics *statistics)
{
    for (size_t i = 0; i < ARRAY_COUNT(device_samples); i++) {
        if (device_samples[i].help != NULL) {
            print_head(stream, device_samples[i].metric, "counter", device_samples[i].help);
        }
        for (size_t device = 0; device < statistics->devices_count; device++) {
            print_device_sample(stream, &device_samples[i], &statistics->devices[device]);
        }
    }
}

static void print_kernel(FILE *stream, const instar_Statistics *statistics)
{
    if (statistics->kernel_statistics_count == 0) {
        return;
    }
    print_head(stream, "instar_kvm_statistic", "untyped", "The kernel's own binary statistics.");
    for (size_t i = 0; i < statistics->kernel_statistics_count; i++) {
        const instar_KernelStatistic *statistic = &statistics->kernel_statistics[i];
        fprintf(stream, "instar_kvm_statistic{name=");
        print_label(stream, statistic->name);
        if (statistic->vcpu >= 0) {
            fprintf(stream, ",vcpu=\"%" PRId64 "\"", statistic->vcpu);
        }
        fprintf(stream, "} %" PRIu64 "\n", statistic->value);
    }
}

void statistics_print_prometheus(FILE *stream, const instar_Statistics *statistics)
{
    print_exits(stream, statistics);
    print_machine(stream, statistics);
    print_devices(stream, statistics);
    print_kernel(stream, statistics);
}
