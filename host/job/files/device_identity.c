/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/files/device_identity.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/attributes.h"

/* The first line of a file of the kernel's. False when it is not there, or empty. */
static bool line_read(const char *path, char *ret_line, size_t room)
{
    FILE *stream = fopen(path, "re");
    if (stream == NULL) {
        return false;
    }
    bool is_read = fgets(ret_line, (int)room, stream) != NULL;
    fclose(stream);
    if (is_read) {
        ret_line[strcspn(ret_line, "\n")] = '\0';
    }
    return is_read && ret_line[0] != '\0';
}

/* What the device, not the host, is called, by the kernel's Documentation/ABI: of SCSI, NVMe, device mapper, ... */
static bool lasting_name_find(const char *directory, char *ret_name, size_t room)
{
    static const char *const files[] = {
        "wwid",                             /* NVMe */
        "device/wwid",                      /* SCSI */
        "dm/uuid",     "md/uuid", "serial", /* virtio */
        "device/cid",                       /* MMC */
    };
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        char path[PATH_MAX];
        char line[DEVICE_IDENTITY_LEN / 2];
        snprintf(path, sizeof(path), "%s/%s", directory, files[i]);
        if (line_read(path, line, sizeof(line))) {
            snprintf(ret_name, room, "%s=%s", files[i], line);
            return true;
        }
    }
    return false;
}

/* A disk that takes another one's number gets another sequence number, since Linux 5.15: a loop device, for one. */
static void number_of_start_find(dev_t device, const char *directory, char *ret_name, size_t room)
{
    char path[PATH_MAX];
    char start[64] = "";
    char sequence[64] = "";
    line_read("/proc/sys/kernel/random/boot_id", start, sizeof(start));
    snprintf(path, sizeof(path), "%s/diskseq", directory);
    line_read(path, sequence, sizeof(sequence));
    snprintf(ret_name, room, "start=%s number=%u:%u sequence=%s", start, major(device), minor(device), sequence);
}

void device_identity_find(dev_t device, char ret_identity[DEVICE_IDENTITY_LEN])
{
    char directory[64];
    char path[PATH_MAX];
    char partition[64] = "";
    char name[DEVICE_IDENTITY_LEN - sizeof(partition) - 16];
    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", major(device), minor(device));
    bool is_partition = line_read(path, partition, sizeof(partition));
    if (is_partition) {
        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/start", major(device), minor(device));
        line_read(path, partition, sizeof(partition)); /* its first sector: numbers of partitions change */
    }
    snprintf(directory, sizeof(directory), "/sys/dev/block/%u:%u%s", major(device), minor(device),
             is_partition ? "/.." : "");
    if (!lasting_name_find(directory, name, sizeof(name))) {
        number_of_start_find(device, directory, name, sizeof(name));
    }
    snprintf(ret_identity, DEVICE_IDENTITY_LEN, "%s%s%s", name, is_partition ? " from=" : "", partition);
}
