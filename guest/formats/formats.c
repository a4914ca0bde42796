/* SPDX-License-Identifier: Apache-2.0 */
/* The formats, one line each. */
#include "guest/formats/bochs/bochs.h"
#include "guest/formats/cloop/cloop.h"
#include "guest/formats/dmg/dmg.h"
#include "guest/formats/luks/luks.h"
#include "guest/formats/parallels/parallels.h"
#include "guest/formats/qcow/qcow.h"
#include "guest/formats/qcow2/qcow2.h"
#include "guest/formats/qed/qed.h"
#include "guest/formats/raw/raw.h"
#include "guest/formats/vdi/vdi.h"
#include "guest/formats/vhdx/vhdx.h"
#include "guest/formats/vmdk/vmdk.h"
#include "guest/formats/vpc/vpc.h"
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
