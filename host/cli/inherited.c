/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/inherited.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/cli/report.h"
#include "host/job/descriptors.h"

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

void inherited_close(const char *program, int argc, char *const argv[])
{
    int first = STDERR_FILENO + 1;
    int named;
    do { /* ends: each round goes beyond a number that is named, the last one beyond all */
        named = named_next(first, argc, argv);
        if (!descriptors_close(first, named < INT_MAX ? named - 1 : INT_MAX)) {
            struct error error = {0};
            error_fill(&error, ERROR_HOST, NULL, "cannot close what the caller has left open: %s", strerror(errno));
            exit(report_error(program, &error));
        }
        first = named < INT_MAX ? named + 1 : first;
    } while (named < INT_MAX);
}
