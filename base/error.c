/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void place_set(struct error *error, const char *place)
{
    size_t len = strnlen(place, sizeof(error->place) - 1);
    memcpy(error->place, place, len);
    error->place[len] = '\0';
}

void error_fill(struct error *error, enum error_kind kind, const char *place, const char *format, ...)
{
    if (error_is_set(error)) {
        return;
    }
    error->kind = kind;
    place_set(error, place != NULL ? place : "");
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->detail, sizeof(error->detail), format, arguments);
    va_end(arguments);
}

void error_add_place(struct error *error, const char *place)
{
    if (error->place[0] == '\0') {
        place_set(error, place);
    }
}
