/* SPDX-License-Identifier: Apache-2.0 */
/* The formats, one line each. */
#include "guest/formats/luks/luks.h"
#include "guest/formats/qcow2/qcow2.h"
#include "guest/formats/raw/raw.h"
#include "guest/formats/unread/unread.h"
#include "guest/image/format.h"

/* clang-format off */
const struct format *const formats[] = {
    &qcow2_format,
    &luks_format,
    &bochs_format,
    &cloop_format,
    &dmg_format,
    &parallels_format,
    &qcow_format,
    &qed_format,
    &vdi_format,
    &vhdx_format,
    &vmdk_format,
    &vpc_format,
    &raw_format,
    NULL,
};
/* clang-format on */
