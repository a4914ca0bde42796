/* SPDX-License-Identifier: Apache-2.0 */
/* LUKS: an encrypted disk behind a header that says how. Version 1 is written, too; version 2 is luks2.h. */
#ifndef INSTAR_GUEST_FORMATS_LUKS_LUKS_H
#define INSTAR_GUEST_FORMATS_LUKS_LUKS_H

#include "guest/crypto/luks_header.h"
#include "guest/image/format.h"
#include "guest/image/image.h"

struct luks2;

/* What image->state is. */
struct luks {
    struct luks_header *header; /* of version 1; NULL with the other one */
    struct luks2 *luks2;        /* of version 2 */
};

/* Where the header is: in the image's file, or in one of its own. */
static inline struct file *luks_header_file(const struct image *image)
{
    return image->header_file != NULL ? image->header_file : image->file;
}

extern const struct format luks_format;

#endif
