/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/child/child_statistics.h"

#include <string.h>
#include <sys/resource.h>

#include "base/text.h"

/* ru_maxrss counts in KiB (getrusage(2)). */
static uint64_t peak_memory(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

/* Where the kernel's counters of a machine go. */
struct kernel_sink {
    instar_Statistics *statistics;
    int first_vcpu; /* the number of this machine's first among those of all machines */
};

/* What the kernel counts for a machine as a whole, and has counted for another one already. */
static instar_KernelStatistic *kernel_statistic_find(instar_Statistics *statistics, const char *name)
{
    for (pb_size_t i = 0; i < statistics->kernel_statistics_count; i++) {
        instar_KernelStatistic *statistic = &statistics->kernel_statistics[i];
        if (statistic->vcpu < 0 && strcmp(statistic->name, name) == 0) {
            return statistic;
        }
    }
    return NULL;
}

static void kernel_statistic_add(void *context, int vcpu, const char *name, uint64_t value)
{
    const struct kernel_sink *sink = context;
    instar_Statistics *statistics = sink->statistics;
    instar_KernelStatistic *whole = vcpu < 0 && sink->first_vcpu > 0 ? kernel_statistic_find(statistics, name) : NULL;
    if (whole != NULL) {
        whole->value += value;
        return;
    }
    if (statistics->kernel_statistics_count ==
        sizeof(statistics->kernel_statistics) / sizeof(statistics->kernel_statistics[0])) {
        return;
    }
    instar_KernelStatistic *statistic = &statistics->kernel_statistics[statistics->kernel_statistics_count++];
    text_copy(statistic->name, sizeof(statistic->name), name);
    statistic->vcpu = vcpu < 0 ? vcpu : vcpu + sink->first_vcpu;
    statistic->value = value;
}

/* Adds what a device has counted. */
static void device_add(instar_DeviceStatistics *device, const struct child_device *from)
{
    const struct transport_file_statistics *file = &from->file.statistics;
    device->reads += file->reads;
    device->writes += file->writes;
    device->flushes += file->flushes;
    device->failures += file->failures;
    device->bytes_read += file->bytes_read;
    device->bytes_written += file->bytes_written;
    const struct virtio_blk_statistics *counts = &from->blk.statistics;
    device->reads += counts->reads;
    device->writes += counts->writes;
    device->flushes += counts->flushes;
    device->discards += counts->discards;
    device->write_zeroes += counts->write_zeroes;
    device->get_ids += counts->get_ids;
    device->extents += counts->extents;
    device->set_lens += counts->set_lens;
    device->copies += counts->copies;
    device->failures += counts->failures;
    device->bytes_read += counts->bytes_read;
    device->bytes_written += counts->bytes_written;
    device->bytes_copied += counts->bytes_copied;
    device->bytes_shared += counts->bytes_shared;
    device->bytes_zero += counts->bytes_zero;
    device->operations += counts->operations;
    device->merges += counts->merges;
    device->batches += counts->batches;
    device->kicks += counts->kicks;
    device->notifications += from->blk.transport.notifications;
}

/* Those that do not fit share the last entry. */
static void devices_fill(instar_Statistics *statistics, const struct child_machine *child)
{
    unsigned int count = child->attached_count;
    for (unsigned int i = 0; i < count; i++) {
        unsigned int entry =
            i < ARRAY_COUNT(statistics->devices) ? i : (unsigned int)ARRAY_COUNT(statistics->devices) - 1;
        instar_DeviceStatistics *device = &statistics->devices[entry];
        const struct child_device *from = child->devices[i];
        const char *name = from->has_blk ? from->blk.transport.name : from->file.name;
        text_copy(device->name, sizeof(device->name), i == entry ? name : "others");
        text_copy(device->backend, sizeof(device->backend), from->backend->operations->name);
        device->sector_size = from->has_blk ? from->blk.sector_len : JOB_SECTOR_LEN_MIN;
        device_add(device, from);
        statistics->devices_count = (pb_size_t)(entry + 1);
    }
}

/* Of all machines. */
static struct vcpu_statistics exits_count(const struct child_machine *child)
{
    struct vcpu_statistics sum = machine_statistics(&child->machine);
    if (child->reader != NULL) {
        struct vcpu_statistics others = machine_statistics(&child->reader->machine);
        vcpu_statistics_add(&sum, &others);
    }
    return sum;
}

static bool kernel_fill(instar_Statistics *statistics, const struct machine *machine, unsigned int first_vcpu)
{
    struct kernel_sink sink = {statistics, (int)first_vcpu};
    return machine->engine->operations->statistics(machine->engine, kernel_statistic_add, &sink);
}

void child_statistics_fill(instar_JobEvent *ret_event, struct child_machine *child, uint64_t wall_ns)
{
    memset(ret_event, 0, sizeof(*ret_event));
    ret_event->which_kind = instar_JobEvent_statistics_tag;
    instar_Statistics *statistics = &ret_event->kind.statistics;
    struct vcpu_statistics exits = exits_count(child);
    statistics->exits = exits.exits;
    statistics->io_in = exits.io_in;
    statistics->io_out = exits.io_out;
    statistics->mmio_read = exits.mmio_read;
    statistics->mmio_write = exits.mmio_write;
    statistics->hlt = exits.hlt;
    statistics->shutdown = exits.shutdown;
    statistics->fail_entry = exits.fail_entry;
    statistics->interrupted = exits.interrupted;
    statistics->unknown = exits.unknown;
    statistics->waits = exits.waits;
    statistics->coalesced_writes = child->machine.coalesced_writes;
    statistics->coalesced_writes += child->reader != NULL ? child->reader->machine.coalesced_writes : 0;
    statistics->wall_ns = wall_ns;
    statistics->peak_memory = peak_memory();
    devices_fill(statistics, child);
    statistics->kernel_statistics_supported = kernel_fill(statistics, &child->machine, 0);
    if (child->reader != NULL) {
        kernel_fill(statistics, &child->reader->machine, child->machine.vcpu_count);
    }
}
