/* SPDX-License-Identifier: Apache-2.0 */
/* Names of files as Windows writes them into images: UTF-16 with backslashes. */
#ifndef INSTAR_GUEST_IMAGE_UTF16_NAME_H
#define INSTAR_GUEST_IMAGE_UTF16_NAME_H

#include <stdbool.h>

#include "base/attributes.h"
#include "base/span.h"
#include "guest/image/format.h"

enum utf16_order {
    UTF16_LITTLE_ENDIAN,
    UTF16_BIG_ENDIAN,
};

/*
 * The name in `units`, which ends at a NUL or with them, in UTF-8 and with slashes. False, and *ret_name is untouched,
 * when it is empty, too long, not UTF-16, or begins with a drive or a server ("C:", "\\\\"), which lead nowhere here.
 */
MUST_CHECK bool utf16_name_read(struct span units, enum utf16_order order, struct file_name *ret_name);

#endif
