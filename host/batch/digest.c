/* SPDX-License-Identifier: Apache-2.0 */
#include "host/batch/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <nettle/sha2.h>

#define BUFFER_LEN (256u << 10)

static int file_hash(struct sha256_ctx *hash, int fd)
{
    static uint8_t buffer[BUFFER_LEN];
    for (;;) { /* ends with the file */
        ssize_t len = read(fd, buffer, sizeof(buffer));
        if (len == 0) {
            return 0;
        }
        if (len < 0 && errno != EINTR) {
            return errno;
        }
        sha256_update(hash, len > 0 ? (size_t)len : 0, buffer);
    }
}

void digest_make(struct batch_account *account, const char *path)
{
    struct sha256_ctx hash;
    sha256_init(&hash);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        account->digest_errno = errno;
        return;
    }
    account->digest_errno = file_hash(&hash, fd);
    sha256_digest(&hash, BATCH_DIGEST_LEN, account->digest);
    close(fd);
}

const char *digest_format(char text[DIGEST_TEXT_LEN], const uint8_t digest[BATCH_DIGEST_LEN])
{
    for (unsigned int i = 0; i < BATCH_DIGEST_LEN; i++) {
        snprintf(&text[(size_t)2 * i], 3, "%02x", digest[i]);
    }
    return text;
}
