/* SPDX-License-Identifier: Apache-2.0 */
/* Another image behind one that exists. */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_BACKING_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_BACKING_H

#include "guest/formats/vmdk/vmdk.h"

/*
 * Whether an image may have this one behind it, and the content ID that it knows that by; target_operations.
 * can_set_backing has the arguments.
 */
MUST_CHECK bool vmdk_choose_parent(const struct vmdk *vmdk, const struct file_name *name, const char *format,
                                   const struct image *backing, uint32_t *ret_cid, struct error *error);

#endif
