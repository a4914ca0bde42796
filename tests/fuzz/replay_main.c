/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays inputs of a fuzz target, without an engine:
 *
 *     fuzz_NAME FILE|DIRECTORY...
 *
 * prints how many there were. The one that ends the program is named before. One that takes longer than 20 seconds
 * does, by SIGALRM: an input takes milliseconds.
 */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#define SECONDS_MAX 20u

static unsigned int count;

void fuzz_mutate_bytes(uint8_t *data UNUSED, size_t len UNUSED)
{
}

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rbe");
    uint8_t *bytes = malloc(FUZZ_INPUT_LEN_MAX);
    if (file == NULL || bytes == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    size_t len = fread(bytes, 1, FUZZ_INPUT_LEN_MAX, file);
    fclose(file);
    /* As long as it is, so that a sanitizer sees the byte behind it. */
    uint8_t *exact = malloc(len > 0 ? len : 1);
    FUZZ_ASSERT(exact != NULL);
    memcpy(exact, bytes, len);
    free(bytes);
    fprintf(stderr, "%s\n", path);
    alarm(SECONDS_MAX);
    fuzz_one(exact, len);
    alarm(0);
    free(exact);
    count++;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Always in the same order. */
static void replay_directory(const char *path)
{
    struct dirent **entries;
    int entry_count = scandir(path, &entries, is_visible, alphasort);
    for (int i = 0; i < entry_count; i++) {
        char name[4096];
        int len = snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
        FUZZ_ASSERT(len > 0 && (size_t)len < sizeof(name));
        replay_file(name);
        free(entries[i]);
    }
    FUZZ_ASSERT(entry_count >= 0);
    free(entries);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct stat status;
        if (stat(argv[i], &status) == 0 && S_ISDIR(status.st_mode)) {
            replay_directory(argv[i]);
        } else {
            replay_file(argv[i]);
        }
    }
    printf("%u inputs\n", count);
    return count > 0 ? 0 : 1;
}
