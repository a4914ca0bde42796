/* SPDX-License-Identifier: Apache-2.0 */
/* A guest program in a file. */
#ifndef INSTAR_HOST_CLI_PROGRAM_FILE_H
#define INSTAR_HOST_CLI_PROGRAM_FILE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/span.h"

/* The guest has 10 MiB for its program; with symbols for debugging, a file may be somewhat longer. */
#define PROGRAM_FILE_LEN_MAX 16777216u

/* Reads all of a file. The caller frees ret_program->data. */
bool program_file_read(const char *path, struct span *ret_program, struct error *error);

#endif
