/* SPDX-License-Identifier: Apache-2.0 */
/* QCOW, version 1: README.md. */
#ifndef INSTAR_GUEST_FORMATS_QCOW_QCOW_H
#define INSTAR_GUEST_FORMATS_QCOW_QCOW_H

#include "guest/image/format.h"

extern const struct format qcow_format;

/* qcow_create.c: format.create. */
bool qcow_create(const struct target_setup *setup, struct target **ret_target, struct error *error);

/* qcow_modify.c: format.open_target. */
bool qcow_open_target(struct image *image, struct target **ret_target, struct error *error);

#endif
