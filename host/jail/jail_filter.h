/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_HOST_JAIL_JAIL_FILTER_H
#define INSTAR_HOST_JAIL_JAIL_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Makes the filter for a process of `parts` (enum jail_part). The caller's; jail_filter_load frees it. */
bool jail_filter_make(uint32_t parts, void **ret_filter, struct error *error);

/* Puts the filter on all threads of the process. Frees it in any case. */
bool jail_filter_load(void *filter, struct error *error);

#endif
