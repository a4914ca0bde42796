/* SPDX-License-Identifier: Apache-2.0 */
/* The formats, one line each. */
#include "guest/formats/raw/raw.h"
#include "guest/image/format.h"

const struct format *const formats[] = {
    &raw_format,
    NULL,
};
