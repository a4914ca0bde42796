/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Untrusted text on its way to a terminal: names, what a guest says, debug lines. Nothing in it may move the
 * cursor, start a line, or make text read differently from what it is.
 */
#ifndef INSTAR_HOST_CLI_ESCAPE_H
#define INSTAR_HOST_CLI_ESCAPE_H

#include <stddef.h>

#include "base/span.h"

/* A target of this many bytes takes any text of `len` bytes. */
#define ESCAPED_LEN(len) (4 * (len) + 1)

/*
 * Copies `text` to `target`, with control characters, bytes that are not UTF-8, line separators, changes of
 * the writing direction and what cannot be seen as \x1b. Stops before what does not fit. Returns `target`, which is
 * always terminated.
 */
const char *escape_text(char *target, size_t target_len, const char *text);
/* The same for bytes without a terminator; zero bytes are shown, too. */
const char *escape_bytes(char *target, size_t target_len, struct span bytes);

#endif
