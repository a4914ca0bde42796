/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats that cannot be read yet. They are recognised all the same, as QEMU recognises them, so that no such image is
 * taken for raw: opening one fails, and says which format it is.
 */
#ifndef INSTAR_GUEST_FORMATS_UNREAD_UNREAD_H
#define INSTAR_GUEST_FORMATS_UNREAD_UNREAD_H

#include "guest/image/format.h"

extern const struct format bochs_format;
extern const struct format cloop_format;
extern const struct format dmg_format;
extern const struct format parallels_format;
extern const struct format qcow_format;
extern const struct format qed_format;
extern const struct format vdi_format;
extern const struct format vhdx_format;
extern const struct format vmdk_format;
extern const struct format vpc_format;

#endif
