/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/names/image_driver.h"

#include <stddef.h>
#include <string.h>

#include "base/attributes.h"

/* Of formats, those that the guest has (guest/formats/formats.c): tests/commands/formats_table.py compares. */
static const struct image_driver drivers[] = {
    {"bochs", DRIVER_NODE_OTHER, true},
    {"cloop", DRIVER_NODE_OTHER, true},
    {"dmg", DRIVER_NODE_OTHER, true},
    {"file", DRIVER_NODE_FILE, false},
    {"host_device", DRIVER_NODE_FILE, false},
    {"luks", DRIVER_NODE_LUKS, false},
    {"parallels", DRIVER_NODE_PARALLELS, false},
    {"qcow", DRIVER_NODE_BACKED | DRIVER_NODE_KEYED, false},
    {"qcow2", DRIVER_NODE_QCOW2 | DRIVER_NODE_BACKED | DRIVER_NODE_KEYED, false},
    {"qed", DRIVER_NODE_BACKED, false},
    {"raw", DRIVER_NODE_RAW, false},
    {"vdi", DRIVER_NODE_OTHER, false},
    {"vhdx", DRIVER_NODE_OTHER, false},
    {"vmdk", DRIVER_NODE_BACKED, false},
    {"vpc", DRIVER_NODE_VPC, false},
};

const struct image_driver *image_driver_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(drivers); i++) {
        if (strcmp(name, drivers[i].name) == 0) {
            return &drivers[i];
        }
    }
    return NULL;
}

bool image_driver_is_of_qemu(const char *name)
{
    /* BlockdevDriver of QEMU 7.2's qapi/block-core.json, without formats and files. */
    static const char *const others[] = {
        "blkdebug",
        "blklogwrites",
        "blkreplay",
        "blkverify",
        "compress",
        "copy-before-write",
        "copy-on-read",
        "ftp",
        "ftps",
        "gluster",
        "host_cdrom",
        "http",
        "https",
        "io_uring",
        "iscsi",
        "nbd",
        "nfs",
        "null-aio",
        "null-co",
        "nvme",
        "nvme-io_uring",
        "preallocate",
        "quorum",
        "rbd",
        "replication",
        "snapshot-access",
        "ssh",
        "throttle",
        "virtio-blk-vfio-pci",
        "virtio-blk-vhost-user",
        "virtio-blk-vhost-vdpa",
        "vvfat",
    };
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        if (strcmp(name, others[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool image_driver_next(const struct image_driver **driver)
{
    *driver = *driver != NULL ? *driver + 1 : drivers;
    return *driver < drivers + ARRAY_COUNT(drivers);
}
