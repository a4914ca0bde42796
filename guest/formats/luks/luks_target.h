/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_GUEST_FORMATS_LUKS_LUKS_TARGET_H
#define INSTAR_GUEST_FORMATS_LUKS_LUKS_TARGET_H

#include "guest/formats/luks/luks.h"
#include "guest/image/format.h"

bool luks_create(const struct target_setup *setup, struct target **ret_target, struct error *error);
bool luks_open_target(struct image *image, struct target **ret_target, struct error *error);
bool luks_resize(struct image *image, const struct resize_plan *plan, struct error *error);
bool luks_measure(const struct measure_request *request, instar_MeasureMessage *ret_result, struct error *error);

/* Whether a volume of this version can be changed. */
MUST_CHECK bool luks_check_version(const struct luks *luks, struct error *error);

#endif
