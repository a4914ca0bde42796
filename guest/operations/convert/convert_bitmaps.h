/* SPDX-License-Identifier: Apache-2.0 */
/* The persistent bitmaps of a conversion's source, which its target gets, too (--bitmaps). */
#ifndef INSTAR_GUEST_OPERATIONS_CONVERT_CONVERT_BITMAPS_H
#define INSTAR_GUEST_OPERATIONS_CONVERT_CONVERT_BITMAPS_H

#include "guest/image/image.h"
#include "guest/image/write/target.h"

/* Before the target is opened: whether all of them can be copied; those that are inconsistent may be left out. */
MUST_CHECK bool convert_bitmaps_check(struct image *source, bool skips_broken, struct error *error);

/* Before anything is written: whether the target can be given them. */
MUST_CHECK bool convert_bitmaps_begin(struct image *source, struct target *target, const char *target_format,
                                      struct error *error);

/* After the disk. Warns of what is left out. */
MUST_CHECK bool convert_bitmaps_copy(struct image *source, struct target *target, struct error *error);

#endif
