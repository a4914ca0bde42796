/* SPDX-License-Identifier: Apache-2.0 */
/* Trees of values on a stream, as qemu-img prints them. */
#ifndef INSTAR_HOST_CLI_IMAGE_VALUES_VALUE_PRINT_H
#define INSTAR_HOST_CLI_IMAGE_VALUES_VALUE_PRINT_H

#include <stdio.h>

#include "host/cli/image/values/value_tree.h"

/* The depth of a tree that is printed; whoever takes one from a guest checks it. */
#define VALUE_DEPTH_MAX 16u

/*
 * As JSON, indented by 4, without an end of line. Only ASCII: other characters are escaped, and what is not UTF-8
 * becomes U+FFFD.
 */
void value_print_json(FILE *stream, const struct value *value);

/* A JSON string, with its quotes, likewise. */
void value_print_json_text(FILE *stream, struct span text);

/* The members of an object, a line for each and for what is in it, `indent` times 4 blanks before it. */
void value_print_human(FILE *stream, const struct value *object, unsigned int indent);

/* Untrusted text in human output: what is harmful is shown as \x1b. */
void value_print_text(FILE *stream, struct span text);

#endif
