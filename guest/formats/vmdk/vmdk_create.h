/* SPDX-License-Identifier: Apache-2.0 */
/* New images. */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_CREATE_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_CREATE_H

#include "guest/image/write/target.h"

/* format.create */
bool vmdk_create(const struct target_setup *setup, struct target **ret_target, struct error *error);

#endif
