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

/*
 * The other way: a name in UTF-8 with slashes becomes units with backslashes, at most `len_max` bytes of them; *ret_len
 * is how many. False when it is not UTF-8, or too long.
 */
MUST_CHECK bool utf16_name_write(const struct file_name *name, enum utf16_order order, uint8_t *target, size_t len_max,
                                 size_t *ret_len);

#endif
