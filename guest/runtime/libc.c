/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What compiled code and musl's libc.a expect from a system, and a guest does not have. Defined here, these
 * keep libc's own versions, the only ones in the image that would execute a system call, out of the link
 * (guest/check-image watches over it).
 */
#include <stdlib.h>

#include "base/attributes.h"
#include "guest/runtime/runtime.h"

NO_RETURN void __stack_chk_fail(void);
NO_RETURN void __assert_fail(const char *expression, const char *file, int line, const char *function);
char *getenv(const char *name);
int __lockfile(FILE *file);
void __unlockfile(FILE *file);

NO_RETURN void __stack_chk_fail(void)
{
    panic("a stack buffer overflowed, near %p", __builtin_return_address(0));
}

/* Nettle's assertions. */
NO_RETURN void __assert_fail(const char *expression, const char *file, int line, const char *function UNUSED)
{
    panic("%s:%d: %s", file, line, expression);
}

NO_RETURN void abort(void)
{
    panic("abort");
}

/* vsnprintf's stream has no lock; only real files have. */
int __lockfile(FILE *file UNUSED)
{
    abort();
}

void __unlockfile(FILE *file UNUSED)
{
    abort();
}

/* There is no environment: Nettle looks for a variable that tells which instructions it shall use. */
char *getenv(const char *name UNUSED)
{
    return NULL;
}

/*
 * nanopb refers to these for fields of unbounded size. Ours are all bounded (abi/messages.options), so a
 * message that gets here is refused. Compression libraries do for memory that the caller does not give them; ours gives
 * it (guest/codecs).
 */
void *malloc(size_t len UNUSED)
{
    return NULL;
}

void *calloc(size_t count UNUSED, size_t len UNUSED)
{
    return NULL;
}

void *realloc(void *memory UNUSED, size_t len UNUSED)
{
    return NULL;
}

void free(void *memory UNUSED)
{
}
