/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An error: a stable kind, the place it is about and one line of detail. It travels up as a value, each
 * caller may put the place more precisely, and the edge prints it once: "place: detail".
 */
#ifndef INSTAR_BASE_ERROR_H
#define INSTAR_BASE_ERROR_H

#include <stdbool.h>

#include "base/attributes.h"

/* Stable numbers: they cross the VM's wall in ErrorMessage.kind. */
enum error_kind {
    ERROR_NONE = 0,
    ERROR_USAGE = 1,       /* the user asked for something that cannot be */
    ERROR_IO = 2,          /* a file could not be opened, read or written */
    ERROR_NO_SPACE = 3,    /* the disk is full, or a quota or file size limit is reached */
    ERROR_MALFORMED = 4,   /* input that does not follow its specification */
    ERROR_UNSUPPORTED = 5, /* input or a request that is valid, but not handled */
    ERROR_GUEST = 6,       /* the guest program misbehaved */
    ERROR_HOST = 7,        /* the host lacks something: KVM, memory, a system call */
    ERROR_LIMIT = 8,       /* the job passed one of its limits */
    ERROR_INTERRUPTED = 9, /* the user or a signal ended the job */
    ERROR_REFUSED = 10,    /* the host's policy does not allow it */
    ERROR_IN_USE = 11,     /* another process uses the image and does not share it */
};

#define ERROR_KIND_LAST ERROR_IN_USE

#define ERROR_PLACE_LEN 1024
#define ERROR_DETAIL_LEN 256

struct error {
    enum error_kind kind;
    char place[ERROR_PLACE_LEN]; /* empty when there is none; cut when longer */
    char detail[ERROR_DETAIL_LEN];
};

/*
 * Fills *error (never NULL) and is false, so that a failing function ends with
 *     return error_set(error, ERROR_IO, path, "cannot open: %s", strerror(errno));
 * `place` may be NULL. The first error wins: one that is set already is kept.
 *
 * A macro around error_fill, so that the compiler sees the false.
 */
#define error_set(...) (error_fill(__VA_ARGS__), false)

void error_fill(struct error *error, enum error_kind kind, const char *place, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* Names the place of an error that has none yet. */
void error_add_place(struct error *error, const char *place);

static inline bool error_is_set(const struct error *error)
{
    return error->kind != ERROR_NONE;
}

/* Returns false from the calling function, which returns bool, when `call` does. */
#define RETURN_IF_FAILED(call) \
    do {                       \
        if (!(call)) {         \
            return false;      \
        }                      \
    } while (0)

#endif
