/* SPDX-License-Identifier: Apache-2.0 */
/* Plain text for people, on COM2. */
#ifndef INSTAR_GUEST_RUNTIME_DEBUG_H
#define INSTAR_GUEST_RUNTIME_DEBUG_H

#include <stdarg.h>

#include "base/attributes.h"

/* A longer line is cut. */
#define DEBUG_LINE_LEN 256

/* Prints one line; the line feed is added. */
void debug_print(const char *format, ...) PRINTF_LIKE(1, 2);
void debug_print_v(const char *format, va_list arguments);

#endif
