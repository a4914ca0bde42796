/* SPDX-License-Identifier: Apache-2.0 */
#include "host/batch/passphrase.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* --object may be cut short, but not to less. */
#define OPTION "--ob"

size_t passphrase_off(const char *word, const char *before)
{
    size_t len = strlen(word);
    const char *value = NULL;
    if (before != NULL && strncmp(before, OPTION, strlen(OPTION)) == 0 && strchr(before, '=') == NULL) {
        value = word;
    } else if (strncmp(word, OPTION, strlen(OPTION)) == 0) {
        value = strchr(word, '=');
    }
    if (value == NULL) {
        return len;
    }
    /* JSON has more ways to write a word. */
    const char *start = strchr(value, '{') != NULL && strchr(value, '\\') != NULL ? value : strstr(value, "data");
    return start != NULL ? (size_t)(start - word) : len;
}

bool passphrase_is_likely(const char *line, size_t len)
{
    return memmem(line, len, OPTION, strlen(OPTION)) != NULL;
}

void passphrase_keep_from_cores(void)
{
    int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t written = write(fd, "0", 1); /* where it fails, core files are as they were */
        (void)written;
        close(fd);
    }
}
