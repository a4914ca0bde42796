/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/absent_transports.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/attributes.h"

#define IOMMU_GROUPS "/sys/kernel/iommu_groups"
#define VFIO_CONTAINER "/dev/vfio/vfio"
#define VFIO_DRIVER "/sys/bus/pci/drivers/vfio-pci"

const struct absent_transport absent_transports[] = {
    {"vfio", "an NVMe device passed through (not built; tells what the host lacks for it)", NULL, "vfio-pci"},
    {"vhost-blk", "virtio-blk by the kernel (not built; likewise)", "/dev/vhost-blk",
     "vhost_blk, which is not part of Linux"},
    {"vhost-scsi", "virtio-scsi by the kernel (not built; likewise)", "/dev/vhost-scsi", "vhost_scsi"},
    {"vhost-vsock", "virtio-vsock by the kernel (not built; likewise)", "/dev/vhost-vsock", "vhost_vsock"},
};

const size_t absent_transport_count = ARRAY_COUNT(absent_transports);

const struct absent_transport *absent_transport_find(const char *name)
{
    for (size_t i = 0; i < absent_transport_count; i++) {
        if (strcmp(absent_transports[i].name, name) == 0) {
            return &absent_transports[i];
        }
    }
    return NULL;
}

/* Why `path` cannot be opened for reading and writing; 0: it can. */
static int access_failure(const char *root, const char *path)
{
    char whole[PATH_MAX];
    snprintf(whole, sizeof(whole), "%s%s", root, path);
    return access(whole, R_OK | W_OK) == 0 ? 0 : errno;
}

/* Whether a directory has an entry whose name begins with a digit: a group, or a device's PCI address. */
static bool has_number(const char *root, const char *path)
{
    char whole[PATH_MAX];
    snprintf(whole, sizeof(whole), "%s%s", root, path);
    DIR *directory = opendir(whole);
    bool is_found = false;
    if (directory == NULL) {
        return false;
    }
    for (const struct dirent *entry; !is_found && (entry = readdir(directory)) != NULL;) {
        is_found = entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
    }
    closedir(directory);
    return is_found;
}

/* In the order in which one would provide it. */
static bool vfio_explain(const char *root, struct error *error)
{
    bool has_groups = has_number(root, IOMMU_GROUPS);
    bool has_device = has_number(root, VFIO_DRIVER);
    int failure = access_failure(root, VFIO_CONTAINER);
    if (has_groups && has_device && failure == 0) {
        return error_set(error, ERROR_UNSUPPORTED, "vfio",
                         "the host has all that is needed, but this version cannot use it (docs/vfio.md)");
    }
    return error_set(
        error, ERROR_UNSUPPORTED, "vfio", "this host lacks:%s%s%s%s%s%s",
        has_groups ? "" : " IOMMU groups (" IOMMU_GROUPS " is empty);", failure == 0 ? "" : " " VFIO_CONTAINER " (",
        failure == 0 ? "" : strerror(failure), failure == 0 ? "" : ");",
        has_device ? "" : " a device that the driver vfio-pci has (" VFIO_DRIVER ");", " see docs/vfio.md");
}

bool absent_transport_explain(const struct absent_transport *transport, const char *root, struct error *error)
{
    if (transport->device_path == NULL) {
        return vfio_explain(root, error);
    }
    int failure = access_failure(root, transport->device_path);
    if (failure != 0) {
        return error_set(error, ERROR_UNSUPPORTED, transport->name,
                         "this host lacks %s (%s; the kernel's module is %s)", transport->device_path,
                         strerror(failure), transport->module);
    }
    return error_set(error, ERROR_UNSUPPORTED, transport->name, "the host has %s, but this version cannot use it",
                     transport->device_path);
}
