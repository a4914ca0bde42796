/* SPDX-License-Identifier: Apache-2.0 */
/* Raw images: the file is the disk. */
#ifndef INSTAR_GUEST_FORMATS_RAW_RAW_H
#define INSTAR_GUEST_FORMATS_RAW_RAW_H

#include "guest/image/format.h"

extern const struct format raw_format;

/* A new image, or an existing file of sufficient length (format.create). */
bool raw_create(const struct target_setup *setup, struct target **ret_target, struct error *error);

/* format.open_target, format.resize */
bool raw_open_target(struct image *image, struct target **ret_target, struct error *error);
bool raw_resize(struct image *image, const struct resize_plan *plan, struct error *error);

#endif
