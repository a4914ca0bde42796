/* SPDX-License-Identifier: Apache-2.0 */
/* Passphrases among the words of jobs: what stands behind "data" in a value of --object. */
#ifndef INSTAR_HOST_BATCH_PASSPHRASE_H
#define INSTAR_HOST_BATCH_PASSPHRASE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Bytes of a word that everybody may see: all, or those before what may be a passphrase. `before` is the word in front
 * of it, NULL for none. What is encrypted by another secret counts as one, too.
 */
size_t passphrase_off(const char *word, const char *before);

/* Whether a line of a manifest may have one; `line` need not end with NUL. */
bool passphrase_is_likely(const char *line, size_t len);

/* From here on, core files of this process and of those that it starts have no memory in them. */
void passphrase_keep_from_cores(void);

#endif
