/* SPDX-License-Identifier: Apache-2.0 */
#include "host/batch/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define BUFFER_LEN (256u << 10)

static int file_hash(struct sha256 *hash, int fd)
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
        sha256_add(hash, buffer, len > 0 ? (size_t)len : 0);
    }
}

void digest_make(struct batch_account *account, const char *path)
{
    struct sha256 hash;
    sha256_init(&hash);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        account->digest_errno = errno;
        return;
    }
    account->digest_errno = file_hash(&hash, fd);
    sha256_end(&hash, account->digest);
    close(fd);
}

const char *digest_format(char text[DIGEST_TEXT_LEN], const uint8_t digest[SHA256_LEN])
{
    for (unsigned int i = 0; i < SHA256_LEN; i++) {
        snprintf(&text[(size_t)2 * i], 3, "%02x", digest[i]);
    }
    return text;
}
