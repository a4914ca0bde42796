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

/*
 * What an error is about, where a program says or does something of its own then: that hangs on this, and never on
 * words of the detail. Stable numbers: they cross the VM's wall in ErrorMessage.reason.
 */
enum error_reason {
    ERROR_REASON_OTHER = 0,
    ERROR_REASON_OPEN = 1,               /* a file could not be opened: error_set_cause, error_cause */
    ERROR_REASON_CREATE = 2,             /* a file could not be created: likewise */
    ERROR_REASON_DIRECTORY = 3,          /* what is named is a directory */
    ERROR_REASON_OUTPUT_IS_INPUT = 4,    /* what is written is also read */
    ERROR_REASON_DATA_IS_IMAGE = 5,      /* what holds an image's data is the image itself */
    ERROR_REASON_NOT_IN_CHAIN = 6,       /* no image of the chain leads to what is to be written */
    ERROR_REASON_OPTION = 7,             /* an option of a format has no such name, or no such value */
    ERROR_REASON_NUMBER = 8,             /* likewise, where the value is no number from 0 to 2^64 */
    ERROR_REASON_BITMAP_IN_USE = 9,      /* a bitmap is inconsistent */
    ERROR_REASON_BITMAP_NOT_COPIED = 10, /* and nobody has said that it may be left out */
    ERROR_REASON_BACKING_AMENDED = 11,   /* amend does not change what is behind an image */
    ERROR_REASON_SHRINK = 12,            /* a disk would become shorter, and nobody has said that it may */
};

#define ERROR_REASON_LAST ERROR_REASON_SHRINK

#define ERROR_PLACE_LEN 1024
#define ERROR_DETAIL_LEN 256

struct error {
    enum error_kind kind;
    enum error_reason reason;
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

/* The same with a reason. */
#define error_set_reason(...) (error_fill_reason(__VA_ARGS__), false)

void error_fill_reason(struct error *error, enum error_reason reason, enum error_kind kind, const char *place,
                       const char *format, ...) PRINTF_LIKE(5, 6);

/* ERROR_REASON_OPEN or _CREATE: the detail is "cannot open: CAUSE" or "cannot create: CAUSE". False. */
#define error_set_cause(...) (error_fill_cause(__VA_ARGS__), false)

void error_fill_cause(struct error *error, enum error_reason reason, enum error_kind kind, const char *place,
                      const char *cause);

/* Of such an error the cause, a part of its detail; of others all of the detail. */
const char *error_cause(const struct error *error);

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
