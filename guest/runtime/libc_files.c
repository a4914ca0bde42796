/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files, which a guest does not have: libbz2 has functions that work on some in the same object as those that work on
 * memory, and Nettle tells on standard error what it has found when a variable of the environment says so. libargon2
 * prints into memory what it has made, when it is asked for text. Nobody calls them. Defined here, they keep libc's out
 * of the link, which would make system calls.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/attributes.h"

int __fprintf_chk(FILE *file, int flag, const char *format, ...);
FILE *fopen64(const char *path, const char *mode);
int __sprintf_chk(char *text, int flag, size_t len, const char *format, ...);

FILE *const stdin;
FILE *const stdout;
FILE *const stderr;

NO_RETURN void exit(int status UNUSED)
{
    abort();
}

int __fprintf_chk(FILE *file UNUSED, int flag UNUSED, const char *format UNUSED, ...)
{
    abort();
}

int __sprintf_chk(char *text UNUSED, int flag UNUSED, size_t len UNUSED, const char *format UNUSED, ...)
{
    abort();
}

FILE *fopen64(const char *path UNUSED, const char *mode UNUSED)
{
    abort();
}

FILE *fdopen(int fd UNUSED, const char *mode UNUSED)
{
    abort();
}

int fclose(FILE *file UNUSED)
{
    abort();
}

int ferror(FILE *file UNUSED)
{
    abort();
}

int fflush(FILE *file UNUSED)
{
    abort();
}

int fgetc(FILE *file UNUSED)
{
    abort();
}

int ungetc(int character UNUSED, FILE *file UNUSED)
{
    abort();
}

int fputc(int character UNUSED, FILE *file UNUSED)
{
    abort();
}

size_t fread(void *target UNUSED, size_t len UNUSED, size_t count UNUSED, FILE *file UNUSED)
{
    abort();
}
