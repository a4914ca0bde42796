/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptor of a new image, in QEMU's form: the same lines in the same order, which is what other readers know. */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_DESCRIPTION_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_DESCRIPTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/formats/vmdk/vmdk_descriptor.h"
#include "guest/formats/vmdk/vmdk_options.h"
#include "guest/image/image.h"

/* A text that grows in memory of a fixed length. */
struct vmdk_description {
    char *text;
    size_t room;
    size_t len;
    bool is_cut; /* there was no room for something */
};

/* What stands before the extents. `parent` is not set: none. */
void vmdk_description_begin(struct vmdk_description *description, uint32_t cid, uint32_t parent_cid,
                            enum vmdk_subformat subformat, const struct file_name *parent);
/* An extent's line. */
void vmdk_description_add(struct vmdk_description *description, uint64_t sectors, enum vmdk_extent_type type,
                          struct span name);
/* What stands behind them; false when there was no room for all. */
MUST_CHECK bool vmdk_description_end(struct vmdk_description *description, uint64_t disk_sectors,
                                     const struct vmdk_options *options, struct error *error);

/* Whether it can stand in quotation marks. */
bool vmdk_name_is_quotable(struct span name);

#endif
