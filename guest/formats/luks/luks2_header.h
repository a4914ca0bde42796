/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The binary headers of LUKS2 (LUKS2 On-Disk Format Specification 1.1.1, 2): two copies, each with its JSON text behind
 * it. What counts is the one with the higher sequence id, of those whose checksum is right.
 */
#ifndef INSTAR_GUEST_FORMATS_LUKS_LUKS2_HEADER_H
#define INSTAR_GUEST_FORMATS_LUKS_LUKS2_HEADER_H

#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"
#include "guest/image/image.h"

struct luks2_header {
    uint64_t len; /* bytes of one copy, its JSON text included; there is room for two of them in the file */
    uint64_t sequence_id;
    char label[49];
    char uuid[41];
    char subsystem[49];
    bool is_secondary;
    struct span json; /* in memory of the arena's, without the zeros behind it */
};

/* Whether a copy is there: the first one, or the second where no header of any version is in the first one's place. */
MUST_CHECK bool luks2_header_find(struct image *image, bool *ret_is_there, struct error *error);

/* Reads both copies from the image's file. */
MUST_CHECK bool luks2_header_read(struct image *image, struct luks2_header *ret_header, struct error *error);

#endif
