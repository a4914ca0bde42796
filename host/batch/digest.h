/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_HOST_BATCH_DIGEST_H
#define INSTAR_HOST_BATCH_DIGEST_H

#include "host/batch/account.h"

/* The SHA-256 of a file's bytes, as they are in the file. Fills in account->digest or digest_errno. */
void digest_make(struct batch_account *account, const char *path);

/* A digest in hexadecimal digits. */
#define DIGEST_TEXT_LEN (2 * BATCH_DIGEST_LEN + 1)
const char *digest_format(char text[DIGEST_TEXT_LEN], const uint8_t digest[BATCH_DIGEST_LEN]);

#endif
