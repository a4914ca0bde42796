/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's own counters, through KVM_GET_STATS_FD (Documentation/virt/kvm/api.rst, 4.133): a header, an
 * array of descriptors, and the values, at offsets that the header tells.
 */
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/checked.h"
#include "host/vmm/engines/kvm_private.h"

/* The kernel has a few dozen; more means that we misread the header. */
#define DESCRIPTOR_MAX 1024u
#define NAME_LEN_MAX 256u

static bool read_at(int fd, void *buffer, size_t len, uint64_t off)
{
    return pread(fd, buffer, len, (__off_t)off) == (ssize_t)len;
}

/* Reports a counter; histograms are reported as the sum of their buckets. */
static void statistic_report(int fd, const struct kvm_stats_header *header, const struct kvm_stats_desc *descriptor,
                             int vcpu, engine_statistic_handler handler, void *context)
{
    uint64_t sum = 0;
    for (unsigned int i = 0; i < descriptor->size; i++) {
        uint64_t value;
        if (!read_at(fd, &value, sizeof(value), (uint64_t)header->data_offset + descriptor->offset + 8ull * i)) {
            return;
        }
        sum += value;
    }
    handler(context, vcpu, descriptor->name, sum);
}

static void file_read(int fd, int vcpu, engine_statistic_handler handler, void *context)
{
    struct kvm_stats_header header;
    if (!read_at(fd, &header, sizeof(header), 0) || header.name_size > NAME_LEN_MAX ||
        header.num_desc > DESCRIPTOR_MAX) {
        return;
    }
    size_t descriptor_len = sizeof(struct kvm_stats_desc) + header.name_size;
    struct kvm_stats_desc *descriptor = calloc(1, descriptor_len + 1);
    if (descriptor == NULL) {
        return;
    }
    for (uint32_t i = 0; i < header.num_desc; i++) {
        if (!read_at(fd, descriptor, descriptor_len, header.desc_offset + (uint64_t)i * descriptor_len)) {
            break;
        }
        statistic_report(fd, &header, descriptor, vcpu, handler, context);
    }
    free(descriptor);
}

static bool source_read(int source_fd, int vcpu, engine_statistic_handler handler, void *context)
{
    int fd = ioctl(source_fd, KVM_GET_STATS_FD, 0);
    if (fd < 0) {
        return false;
    }
    file_read(fd, vcpu, handler, context);
    close(fd);
    return true;
}

bool kvm_statistics(struct engine *engine, engine_statistic_handler handler, void *context)
{
    struct kvm *kvm = (struct kvm *)engine;
    if (ioctl(kvm->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_BINARY_STATS_FD) <= 0 ||
        !source_read(kvm->vm_fd, -1, handler, context)) {
        return false;
    }
    for (unsigned int i = 0; i < kvm->vcpu_count; i++) {
        source_read(kvm->vcpus[i].fd, (int)i, handler, context);
    }
    return true;
}
