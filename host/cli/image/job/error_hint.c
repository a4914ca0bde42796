/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/job/error_hint.h"

#include <stddef.h>

#include "base/attributes.h"

static const char *const hints[] = {
    [ERROR_REASON_NUMBER] =
        "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively.",
    [ERROR_REASON_BITMAP_IN_USE] = "Try block-dirty-bitmap-remove to delete this bitmap from disk",
    [ERROR_REASON_BACKING_AMENDED] = "You can use 'qemu-img rebase' instead.",
    [ERROR_REASON_BITMAP_NOT_COPIED] = "Try --skip-broken-bitmaps, or use 'qemu-img bitmap --remove' to delete it",
};

const char *error_hint(enum error_reason reason)
{
    return (size_t)reason < ARRAY_COUNT(hints) ? hints[reason] : NULL;
}
