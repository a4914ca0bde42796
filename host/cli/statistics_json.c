/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>

#include "base/attributes.h"
#include "base/checked.h"
#include "host/cli/statistics_print.h"

/*
 * Functions of jansson take NULL for a value that could not be allocated and fail in turn, so one look at the
 * end would be enough; without memory, there are no statistics.
 */

/* JSON numbers are signed in jansson; what does not fit was forged by a broken child. */
static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)min_u64(value, INT64_MAX));
}

static void set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

static json_t *text(const char *untrusted)
{
    char escaped[STATISTICS_NAME_LEN];
    return json_string(escape_text(escaped, sizeof(escaped), untrusted));
}

static json_t *exits_json(const instar_Statistics *statistics)
{
    struct exit_count counts[EXIT_KIND_COUNT];
    statistics_exits(statistics, counts);
    json_t *object = json_object();
    set(object, "total", number(statistics->exits));
    for (size_t i = 0; i < EXIT_KIND_COUNT; i++) {
        set(object, counts[i].name, number(counts[i].count));
    }
    return object;
}

static json_t *derived_json(const instar_Statistics *statistics)
{
    struct derived_statistics derived = statistics_derive(statistics);
    json_t *object = json_object();
    set(object, "exits-per-second", json_real(derived.exits_per_second));
    set(object, "mmio-exits-per-sector", json_real(derived.mmio_exits_per_sector));
    set(object, "bytes-per-exit", json_real(derived.bytes_per_exit));
    return object;
}

static json_t *requests_json(const instar_DeviceStatistics *device)
{
    json_t *object = json_object();
    set(object, "read", number(device->reads));
    set(object, "write", number(device->writes));
    set(object, "flush", number(device->flushes));
    set(object, "discard", number(device->discards));
    set(object, "write-zeroes", number(device->write_zeroes));
    set(object, "get-id", number(device->get_ids));
    set(object, "extents", number(device->extents));
    set(object, "set-length", number(device->set_lens));
    set(object, "copy", number(device->copies));
    set(object, "failed", number(device->failures));
    return object;
}

static json_t *device_json(const instar_Statistics *statistics, const instar_DeviceStatistics *device)
{
    json_t *object = json_object();
    set(object, "name", text(device->name));
    set(object, "backend", text(device->backend));
    set(object, "sector-size", number(device->sector_size));
    set(object, "bytes-read", number(device->bytes_read));
    set(object, "bytes-written", number(device->bytes_written));
    set(object, "bytes-copied", number(device->bytes_copied));
    set(object, "bytes-shared", number(device->bytes_shared));
    set(object, "zero-bytes-found", number(device->bytes_zero));
    set(object, "sectors-read", number(statistics_sectors(device, device->bytes_read)));
    set(object, "sectors-written", number(statistics_sectors(device, device->bytes_written)));
    set(object, "bytes-read-per-second", json_real(statistics_per_second(statistics, device->bytes_read)));
    set(object, "bytes-written-per-second", json_real(statistics_per_second(statistics, device->bytes_written)));
    set(object, "requests", requests_json(device));
    set(object, "operations", number(device->operations));
    set(object, "merges", number(device->merges));
    set(object, "batches", number(device->batches));
    set(object, "kicks", number(device->kicks));
    set(object, "notifications", number(device->notifications));
    return object;
}

static json_t *kernel_json(const instar_Statistics *statistics)
{
    json_t *list = json_array();
    for (size_t i = 0; i < statistics->kernel_statistics_count; i++) {
        const instar_KernelStatistic *statistic = &statistics->kernel_statistics[i];
        json_t *object = json_object();
        set(object, "name", text(statistic->name));
        set(object, "vcpu", statistic->vcpu >= 0 ? json_integer(statistic->vcpu) : json_null());
        set(object, "value", number(statistic->value));
        json_array_append_new(list, object);
    }
    json_t *kernel = json_object();
    set(kernel, "supported", json_boolean(statistics->kernel_statistics_supported));
    set(kernel, "statistics", list);
    return kernel;
}

/* The seed of the library's hash tables, which otherwise comes from /dev/urandom with the first one. */
void statistics_prepare_json(void)
{
    json_object_seed(0);
}

void statistics_print_json(FILE *stream, const instar_Statistics *statistics)
{
    json_t *devices = json_array();
    for (size_t i = 0; i < statistics->devices_count; i++) {
        json_array_append_new(devices, device_json(statistics, &statistics->devices[i]));
    }
    json_t *root = json_object();
    set(root, "wall-ns", number(statistics->wall_ns));
    set(root, "peak-memory", number(statistics->peak_memory));
    set(root, "exits", exits_json(statistics));
    set(root, "coalesced-writes", number(statistics->coalesced_writes));
    set(root, "waits", number(statistics->waits));
    set(root, "derived", derived_json(statistics));
    set(root, "devices", devices);
    set(root, "kernel", kernel_json(statistics));
    /* Indented as qemu-img prints JSON. */
    json_dumpf(root, stream, JSON_INDENT(4) | JSON_REAL_PRECISION(12));
    fputc('\n', stream);
    json_decref(root);
}
