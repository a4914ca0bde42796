/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"

void error_fill(struct error *error, enum error_kind kind, const char *place, const char *format, ...)
{
    if (error_is_set(error)) {
        return;
    }
    error->kind = kind;
    text_copy(error->place, sizeof(error->place), place != NULL ? place : "");
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->detail, sizeof(error->detail), format, arguments);
    va_end(arguments);
}

void error_add_place(struct error *error, const char *place)
{
    if (error->place[0] == '\0') {
        text_copy(error->place, sizeof(error->place), place);
    }
}
