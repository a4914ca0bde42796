/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/inherited.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/cli/report.h"
#include "host/job/files/descriptors.h"

/* Beyond any descriptor. */
#define NUMBER_MAX (INT_MAX / 10 - 1)

static int hex_value(char digit)
{
    return isdigit((unsigned char)digit) ? digit - '0' : (digit | 0x20) - 'a' + 10;
}

/* The next character, as JSON has it, where it may be written in several ways; '?' for what no such name has. */
static char character_take(const char **text)
{
    const char *at = *text;
    if (at[0] != '\\' || at[1] == '\0') {
        *text += at[0] != '\0';
        return at[0];
    }
    if (at[1] != 'u') {
        *text += 2;
        return at[1];
    }
    int value = 0;
    for (unsigned int i = 2; i < 6; i++) {
        if (!isxdigit((unsigned char)at[i])) {
            *text += 2;
            return '?';
        }
        value = value * 16 + hex_value(at[i]);
    }
    *text += 6;
    return (char)(value > 0 && value < 0x80 ? value : '?');
}

/* The number N of "fd/N" at the start of `text`; -1: there is none. */
static int number_at(const char *text)
{
    if (character_take(&text) != 'f' || character_take(&text) != 'd') {
        return -1;
    }
    char next = character_take(&text);
    bool has_slash = next == '/';
    while (next == '/') {
        next = character_take(&text);
    }
    if (!has_slash || !isdigit((unsigned char)next)) {
        return -1;
    }
    int number = 0;
    while (isdigit((unsigned char)next) && number <= NUMBER_MAX) {
        number = number * 10 + (next - '0');
        next = character_take(&text);
    }
    return number;
}

/* The least number from `first` on that a word names; INT_MAX: none. */
static int named_next(int first, int argc, char *const argv[])
{
    int least = INT_MAX;
    for (int i = 1; i < argc; i++) {
        for (const char *text = argv[i]; *text != '\0'; text++) {
            int number = *text == 'f' || *text == '\\' ? number_at(text) : -1;
            least = number >= first && number < least ? number : least;
        }
    }
    return least;
}

/* Descriptors that hold a lock, in any order. */
struct locks {
    int *numbers; /* on the heap */
    size_t count;
};

/* Whether a lock of any kind is held by the descriptor (proc_pid_fdinfo(5)). */
static bool holds_lock(int number)
{
    char path[sizeof("/proc/self/fdinfo/") + 3 * sizeof(number)];
    char line[256];
    bool has_lock = false;
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", number);
    FILE *stream = fopen(path, "re");
    if (stream == NULL) {
        return false;
    }
    while (!has_lock && fgets(line, sizeof(line), stream) != NULL) {
        has_lock = strncmp(line, "lock:", 5) == 0;
    }
    fclose(stream);
    return has_lock;
}

static bool locks_add(struct locks *locks, int number)
{
    int *numbers = reallocarray(locks->numbers, locks->count + 1, sizeof(*numbers));
    if (numbers == NULL) {
        return false;
    }
    locks->numbers = numbers;
    locks->numbers[locks->count++] = number;
    return true;
}

/* False with errno. Without /proc nobody tells of locks. */
static bool locks_find(struct locks *locks)
{
    DIR *directory = opendir("/proc/self/fd");
    const struct dirent *entry;
    bool success = true;
    if (directory == NULL) {
        return errno != EMFILE && errno != ENFILE && errno != ENOMEM;
    }
    while (success && (entry = readdir(directory)) != NULL) {
        int number = isdigit((unsigned char)entry->d_name[0]) ? (int)strtol(entry->d_name, NULL, 10) : -1;
        bool is_callers = number > STDERR_FILENO && number != dirfd(directory);
        success = !is_callers || !holds_lock(number) || locks_add(locks, number);
    }
    int saved_errno = errno;
    closedir(directory);
    errno = saved_errno;
    return success;
}

/*
 * That nothing is open but the standard streams, which always are. Since Linux 6.2 the directory's length is the number
 * of descriptors (proc_pid_fd(5)), and reading it takes longer than all else here; before, it is 0.
 */
static bool has_none(void)
{
    struct stat status;
    return stat("/proc/self/fd", &status) == 0 && status.st_size == STDERR_FILENO + 1;
}

/* The least number from `first` on that holds a lock; INT_MAX: none. */
static int locked_next(int first, const struct locks *locks)
{
    int least = INT_MAX;
    for (size_t i = 0; i < locks->count; i++) {
        int number = locks->numbers[i];
        least = number >= first && number < least ? number : least;
    }
    return least;
}

void inherited_close(const char *program, int argc, char *const argv[])
{
    int first = STDERR_FILENO + 1;
    int kept = first;
    struct locks locks = {0};
    if (has_none()) {
        return;
    }
    bool success = locks_find(&locks);
    while (success && kept < INT_MAX) { /* ends: each round goes beyond one that is kept, the last one beyond all */
        int named = named_next(first, argc, argv);
        int locked = locked_next(first, &locks);
        kept = named < locked ? named : locked;
        success = descriptors_close(first, kept < INT_MAX ? kept - 1 : INT_MAX);
        first = kept < INT_MAX ? kept + 1 : first;
    }
    if (!success) {
        struct error error = {0};
        error_fill(&error, ERROR_HOST, NULL, "cannot close what the caller has left open: %s", strerror(errno));
        exit(report_error(program, &error));
    }
    free(locks.numbers);
}
