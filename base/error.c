/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const char *const prefixes[] = {
    [ERROR_REASON_OPEN] = "cannot open: ",
    [ERROR_REASON_CREATE] = "cannot create: ",
};

/* NULL: details with this reason have none. */
static const char *prefix_of(enum error_reason reason)
{
    return (size_t)reason < ARRAY_COUNT(prefixes) ? prefixes[reason] : NULL;
}

static void PRINTF_LIKE(5, 0) fill(struct error *error, enum error_reason reason, enum error_kind kind,
                                   const char *place, const char *format, va_list arguments)
{
    if (error_is_set(error)) {
        return;
    }
    error->kind = kind;
    error->reason = reason;
    text_copy(error->place, sizeof(error->place), place != NULL ? place : "");
    vsnprintf(error->detail, sizeof(error->detail), format, arguments);
}

void error_fill(struct error *error, enum error_kind kind, const char *place, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fill(error, ERROR_REASON_OTHER, kind, place, format, arguments);
    va_end(arguments);
}

void error_fill_reason(struct error *error, enum error_reason reason, enum error_kind kind, const char *place,
                       const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fill(error, reason, kind, place, format, arguments);
    va_end(arguments);
}

void error_fill_cause(struct error *error, enum error_reason reason, enum error_kind kind, const char *place,
                      const char *cause)
{
    error_fill_reason(error, reason, kind, place, "%s%s", prefix_of(reason), cause);
}

/* The guest may say that it has a reason, and have other words than that has. */
const char *error_cause(const struct error *error)
{
    const char *prefix = prefix_of(error->reason);
    bool has_prefix = prefix != NULL && strncmp(error->detail, prefix, strlen(prefix)) == 0;
    return error->detail + (has_prefix ? strlen(prefix) : 0);
}

void error_add_place(struct error *error, const char *place)
{
    if (error->place[0] == '\0') {
        text_copy(error->place, sizeof(error->place), place);
    }
}
