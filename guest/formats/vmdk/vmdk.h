/* SPDX-License-Identifier: Apache-2.0 */
/* VMDK, VMware's disk images: README.md names the specifications and the limits. */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/checked.h"
#include "guest/formats/vmdk/vmdk_descriptor.h"
#include "guest/formats/vmdk/vmdk_tables.h"
#include "guest/image/format.h"
#include "guest/image/image.h"

/* Files of 2 GB make a disk of 4 TB. */
#define VMDK_EXTENT_COUNT_MAX 2048u

enum vmdk_extent_kind {
    VMDK_KIND_FLAT,
    VMDK_KIND_SPARSE, /* with tables, of any header */
    VMDK_KIND_ZERO,   /* no file */
};

struct vmdk_extent {
    enum vmdk_extent_kind kind;
    bool has_type;              /* it has a line in a descriptor: */
    enum vmdk_extent_type type; /* what that says */
    bool is_read_only;          /* that says so, too */
    bool has_warned;            /* of its damaged grain directory */
    struct file *file;          /* the image's own, or another; NULL: KIND_ZERO */
    uint64_t voff;              /* bytes of the disk */
    uint64_t len;
    uint64_t flat_off; /* bytes of the file before a flat extent */
    struct vmdk_tables tables;
};

/* The state of an image. Extents follow one another, without gaps. */
struct vmdk {
    char create_type[VMDK_CREATE_TYPE_LEN_MAX + 1];
    uint32_t cid;
    uint32_t parent_cid;
    struct vmdk_extent *extents;
    uint32_t extent_count;
    uint32_t current; /* index of the one that was asked for last */
};

static inline struct vmdk *vmdk_of(const struct image *image)
{
    return image->state;
}

/* The extent that has `voff`, which lies within the disk. Changes nothing: on any vCPU. */
struct vmdk_extent *vmdk_find_extent(const struct vmdk *vmdk, uint64_t voff);

extern const struct format vmdk_format;

#endif
