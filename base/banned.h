/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions that this tree does not use, made compile errors. Included by the compiler's command line before
 * every file of ours, so the system headers that declare them come first.
 */
#ifndef INSTAR_BASE_BANNED_H
#define INSTAR_BASE_BANNED_H
#ifndef __ASSEMBLER__

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Unbounded copies and prints: use memcpy with a checked length, or snprintf. */
#pragma GCC poison strcpy strcat stpcpy sprintf vsprintf gets
/* Truncates or pads silently. */
#pragma GCC poison strncpy strncat
/* Cannot report an error: use strtoull with checks (host/cli/numbers.h). */
#pragma GCC poison atoi atol atoll sscanf
/* Hidden state. */
#pragma GCC poison strtok
/* The stack is bounded. */
#undef alloca
#pragma GCC poison alloca

#endif
#endif
