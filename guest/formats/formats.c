/* SPDX-License-Identifier: Apache-2.0 */
/* The formats, one line each. */
#include "guest/formats/qcow2/qcow2.h"
#include "guest/formats/raw/raw.h"
#include "guest/image/format.h"

const struct format *const formats[] = {
    &qcow2_format,
    &raw_format,
    NULL,
};
