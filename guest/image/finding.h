/* SPDX-License-Identifier: Apache-2.0 */
/* What a check finds: lines for the user, as many as were asked for. */
#ifndef INSTAR_GUEST_IMAGE_FINDING_H
#define INSTAR_GUEST_IMAGE_FINDING_H

#include <stdarg.h>
#include <stdint.h>

#include "base/attributes.h"

/* As many as an image is told of where nobody asked for a number. */
#define FINDINGS_MAX 10000u

struct findings {
    uint32_t left; /* how many may still be sent */
};

/* Sends a FindingMessage, cut when it is too long. messages_flush sends what has been posted. */
void check_finding(struct findings *findings, const char *format, ...) PRINTF_LIKE(2, 3);
void check_finding_list(struct findings *findings, const char *format, va_list arguments) PRINTF_LIKE(2, 0);

#endif
