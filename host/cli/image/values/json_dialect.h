/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON as QEMU reads it (qobject/json-lexer.c, json-parser.c): strings also stand in single quotes, so that a shell's
 * double quotes can be around all of it. What is wrong is told in QEMU's words.
 */
#ifndef INSTAR_HOST_CLI_IMAGE_VALUES_JSON_DIALECT_H
#define INSTAR_HOST_CLI_IMAGE_VALUES_JSON_DIALECT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/attributes.h"
#include "base/error.h"

/* *ret_value is to be given back by json_decref. Numbers beyond 63 bits are json_real. */
MUST_CHECK bool json_dialect_parse(const char *text, json_t **ret_value, struct error *error);

#endif
