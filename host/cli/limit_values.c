/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/limit_values.h"

#include <inttypes.h>
#include <string.h>

#include "host/cli/numbers.h"

enum unit {
    UNIT_SECONDS, /* 32 bits in struct job_limits */
    UNIT_BYTES,
    UNIT_NUMBER,
};

static const struct {
    const char *name;
    enum unit unit;
} limit_table[LIMIT_COUNT] = {
    [LIMIT_TIME] = {"max-time", UNIT_SECONDS},   [LIMIT_CPU] = {"max-cpu", UNIT_SECONDS},
    [LIMIT_OUTPUT] = {"max-output", UNIT_BYTES}, [LIMIT_MEMORY] = {"max-memory", UNIT_BYTES},
    [LIMIT_EXITS] = {"max-exits", UNIT_NUMBER},  [LIMIT_MIN_FREE] = {"min-free", UNIT_BYTES},
    [LIMIT_LINES] = {"max-lines", UNIT_NUMBER},
};

enum limit limit_find(const char *name)
{
    unsigned int limit = 0;
    while (limit < LIMIT_COUNT && strcmp(limit_table[limit].name, name) != 0) {
        limit++;
    }
    return (enum limit)limit;
}

bool limit_take(struct limit_values *limits, enum limit limit, const char *place, const char *text, struct error *error)
{
    uint64_t value;
    switch (limit_table[limit].unit) {
    case UNIT_SECONDS:
        if (!number_parse(text, &value) || value > UINT32_MAX) {
            return error_set(error, ERROR_USAGE, place, "%s is not a number of seconds from 0 to %" PRIu32, text,
                             UINT32_MAX);
        }
        break;
    case UNIT_BYTES:
        if (!size_parse(text, &value)) {
            return error_set(error, ERROR_USAGE, place, "%s is not a size, such as 1073741824, 512M or 1.5G", text);
        }
        break;
    case UNIT_NUMBER:
    default:
        if (!number_parse(text, &value)) {
            return error_set(error, ERROR_USAGE, place, "%s is not a number from 0 to %" PRIu64, text, UINT64_MAX);
        }
        break;
    }
    limits->is_given[limit] = true;
    limits->values[limit] = value;
    return true;
}

static uint64_t limit_resolve(enum limit limit, const struct limit_values *const layers[], size_t layer_count)
{
    for (size_t i = 0; i < layer_count; i++) {
        if (layers[i]->is_given[limit]) {
            return layers[i]->values[limit];
        }
    }
    return 0;
}

struct job_limits limits_resolve(const struct limit_values *const layers[], size_t layer_count)
{
    return (struct job_limits){
        .time_s = (uint32_t)limit_resolve(LIMIT_TIME, layers, layer_count),
        .cpu_s = (uint32_t)limit_resolve(LIMIT_CPU, layers, layer_count),
        .output_len = limit_resolve(LIMIT_OUTPUT, layers, layer_count),
        .memory_len = limit_resolve(LIMIT_MEMORY, layers, layer_count),
        .exit_count = limit_resolve(LIMIT_EXITS, layers, layer_count),
        .min_free_len = limit_resolve(LIMIT_MIN_FREE, layers, layer_count),
        .line_count = limit_resolve(LIMIT_LINES, layers, layer_count),
    };
}
