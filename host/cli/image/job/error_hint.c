/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/job/error_hint.h"

#include <stddef.h>
#include <string.h>

#include "base/attributes.h"

static const struct {
    const char *begin; /* of the detail; empty: whatever it begins with */
    const char *end;
    const char *hint;
} hints[] = {
    {"Parameter '", "' expects a non-negative number below 2^64",
     "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively."},
    {"Bitmap '", "' is inconsistent and cannot be used",
     "Try block-dirty-bitmap-remove to delete this bitmap from disk"},
    {"Cannot amend the backing file", "", "You can use 'qemu-img rebase' instead."},
    {"Cannot copy inconsistent bitmap '", "'",
     "Try --skip-broken-bitmaps, or use 'qemu-img bitmap --remove' to delete it"},
};

const char *error_hint(const char *detail)
{
    size_t len = strlen(detail);
    for (size_t i = 0; i < ARRAY_COUNT(hints); i++) {
        size_t begin_len = strlen(hints[i].begin);
        size_t end_len = strlen(hints[i].end);
        if (len >= begin_len + end_len && strncmp(detail, hints[i].begin, begin_len) == 0 &&
            strcmp(detail + len - end_len, hints[i].end) == 0) {
            return hints[i].hint;
        }
    }
    return NULL;
}
