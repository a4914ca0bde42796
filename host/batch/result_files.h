/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what all shards have written. */
#ifndef INSTAR_HOST_BATCH_RESULT_FILES_H
#define INSTAR_HOST_BATCH_RESULT_FILES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Takes a result, an object. False, with *error, ends the reading. */
typedef bool (*result_handler)(void *context, const json_t *line, struct error *error);

struct result_files_count {
    uint64_t files;
    uint64_t torn; /* lines that are no object of JSON, which are passed over */
};

/* `base` and "BASE.I-of-N", as far as they are there. */
bool result_files_read(const char *base, result_handler handler, void *context, struct result_files_count *ret_count,
                       struct error *error);

#endif
