/* SPDX-License-Identifier: Apache-2.0 */
/* Zeros in memory. */
#ifndef INSTAR_BASE_ZEROS_H
#define INSTAR_BASE_ZEROS_H

#include <stdbool.h>

#include "base/span.h"

/* Whether all bytes are zero, as none are. Data that does not start with a zero is recognized at its first bytes. */
bool bytes_are_zero(struct span bytes);

#endif
