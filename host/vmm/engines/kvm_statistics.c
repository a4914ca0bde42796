/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's own counters, through KVM_GET_STATS_FD (Documentation/virt/kvm/api.rst, 4.133): a header, an
 * array of descriptors, and the values, at offsets that the header tells.
 */
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/span.h"
#include "host/vmm/engines/kvm_private.h"

/* The kernel's files have a few KiB. What is beyond is not reported. */
#define FILE_LEN_MAX 65536u
#define NAME_LEN_MAX 256u

/* A descriptor with the longest name. */
union statistic {
    struct kvm_stats_desc descriptor;
    char storage[sizeof(struct kvm_stats_desc) + NAME_LEN_MAX + 1];
};

/* Reports a counter; histograms are reported as the sum of their buckets. */
static void statistic_report(struct span file, const struct kvm_stats_header *header,
                             const struct kvm_stats_desc *descriptor, int vcpu, engine_statistic_handler handler,
                             void *context)
{
    uint64_t sum = 0;
    for (unsigned int i = 0; i < descriptor->size; i++) {
        uint64_t value;
        if (!span_copy(file, (uint64_t)header->data_offset + descriptor->offset + 8ull * i, &value, sizeof(value))) {
            return;
        }
        sum += value;
    }
    handler(context, vcpu, descriptor->name, sum);
}

static void file_report(struct span file, int vcpu, engine_statistic_handler handler, void *context)
{
    struct kvm_stats_header header;
    if (!span_copy(file, 0, &header, sizeof(header)) || header.name_size > NAME_LEN_MAX) {
        return;
    }
    size_t descriptor_len = sizeof(struct kvm_stats_desc) + header.name_size;
    for (uint32_t i = 0; i < header.num_desc; i++) {
        union statistic statistic = {0};
        if (!span_copy(file, header.desc_offset + (uint64_t)i * descriptor_len, &statistic, descriptor_len)) {
            return;
        }
        statistic_report(file, &header, &statistic.descriptor, vcpu, handler, context);
    }
}

static bool source_report(int fd, int vcpu, engine_statistic_handler handler, void *context)
{
    uint8_t *bytes = malloc(FILE_LEN_MAX);
    if (fd < 0 || bytes == NULL) {
        free(bytes);
        return false;
    }
    /* One read from the beginning: positioned reads would be one more system call for the jail to allow. */
    ssize_t len = read(fd, bytes, FILE_LEN_MAX);
    if (len > 0) {
        file_report((struct span){bytes, (size_t)len}, vcpu, handler, context);
    }
    free(bytes);
    return true;
}

void kvm_statistics_open(struct kvm *kvm)
{
    if (ioctl(kvm->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_BINARY_STATS_FD) <= 0) {
        return;
    }
    kvm->statistics_fd = ioctl(kvm->vm_fd, KVM_GET_STATS_FD, 0);
    for (unsigned int i = 0; i < kvm->vcpu_count; i++) {
        kvm->vcpus[i].statistics_fd = ioctl(kvm->vcpus[i].fd, KVM_GET_STATS_FD, 0);
    }
}

bool kvm_statistics(struct engine *engine, engine_statistic_handler handler, void *context)
{
    struct kvm *kvm = (struct kvm *)engine;
    if (!source_report(kvm->statistics_fd, -1, handler, context)) {
        return false;
    }
    for (unsigned int i = 0; i < kvm->vcpu_count; i++) {
        source_report(kvm->vcpus[i].statistics_fd, (int)i, handler, context);
    }
    return true;
}
