/* SPDX-License-Identifier: Apache-2.0 */
/* Images that exist, and are changed in place. */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_MODIFY_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_MODIFY_H

#include "guest/formats/vmdk/vmdk.h"

/* format.open_target */
bool vmdk_open_target(struct image *image, struct target **ret_target, struct error *error);

#endif
