/* SPDX-License-Identifier: Apache-2.0 */
/* getopt_long with errors as values instead of lines that it prints itself. */
#ifndef INSTAR_HOST_CLI_OPTIONS_H
#define INSTAR_HOST_CLI_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define OPTIONS_END (-1)
#define OPTIONS_ERROR '?'
/* The detail of an error about an option whose value is missing. */
#define OPTIONS_VALUE_MISSING "needs a value"

/*
 * The next option of the arguments: its code, OPTIONS_END, or OPTIONS_ERROR with *error set. Options and operands
 * may come in any order; "--" ends the options. `letters` is as for getopt and starts with ':' or "+:".
 */
int options_next(int argc, char **argv, const char *letters, const struct option *options, struct error *error);

/* Values of options; `name` is the option, for messages. */
bool option_number_parse(const char *name, const char *text, uint32_t min, uint32_t max, uint32_t *ret_number,
                         struct error *error);
/* A size in bytes that is a power of two. */
bool option_power_parse(const char *name, const char *text, uint32_t min, uint32_t max, uint32_t *ret_len,
                        struct error *error);

#endif
