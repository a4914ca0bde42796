/* SPDX-License-Identifier: Apache-2.0 */
/* The options of new images, with QEMU's refusals. */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_OPTIONS_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_OPTIONS_H

#include <stdbool.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/write/target.h"

enum vmdk_subformat {
    VMDK_MONOLITHIC_SPARSE,
    VMDK_MONOLITHIC_FLAT,
    VMDK_TWO_GB_SPARSE,
    VMDK_TWO_GB_FLAT,
    VMDK_STREAM_OPTIMIZED,
};

struct vmdk_options {
    enum vmdk_subformat subformat;
    const char *adapter_type; /* as it stands in the descriptor, likewise: */
    const char *hw_version;
    const char *tools_version;
    bool has_zeroed_grains;
};

/* As it stands in a descriptor. */
const char *vmdk_subformat_name(enum vmdk_subformat subformat);

bool vmdk_subformat_is_flat(enum vmdk_subformat subformat);
/* In files of 2 GiB. */
bool vmdk_subformat_is_split(enum vmdk_subformat subformat);

MUST_CHECK bool vmdk_options_parse(const struct target_setup *setup, struct vmdk_options *ret_options,
                                   struct error *error);

#endif
