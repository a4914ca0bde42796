/* SPDX-License-Identifier: Apache-2.0 */
#include "host/batch/manifest_shard.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/number_text.h"

bool shard_parse(const char *text, const char *place, struct shard *ret_shard, struct error *error)
{
    char first[16];
    uint64_t number;
    uint64_t count;
    const char *slash = strchr(text, '/');
    size_t first_len = slash != NULL ? (size_t)(slash - text) : 0;
    if (slash == NULL || first_len >= sizeof(first)) {
        return error_set(error, ERROR_USAGE, place, "%.100s is not of the form I/N, as 3/64", text);
    }
    memcpy(first, text, first_len);
    first[first_len] = '\0';
    if (!number_parse(first, &number) || !number_parse(slash + 1, &count) || count == 0 || count > SHARD_COUNT_MAX ||
        number == 0 || number > count) {
        return error_set(error, ERROR_USAGE, place, "%.100s: I is from 1 to N, and N at most %u", text,
                         SHARD_COUNT_MAX);
    }
    *ret_shard = (struct shard){.number = (uint32_t)number, .count = (uint32_t)count};
    return true;
}

/* A number that a scheduler sets. False also when there is none; only what is none is an error. */
static bool variable_read(const char *name, uint64_t *ret_number, struct error *error)
{
    const char *text = getenv(name);
    if (text == NULL || text[0] == '\0') {
        return false;
    }
    return number_parse(text, ret_number) || error_set(error, ERROR_USAGE, name, "%.100s is not a number", text);
}

static bool shard_take(const char *name, uint64_t index, uint64_t count, struct shard *ret_shard, struct error *error)
{
    if (count == 0) {
        return error_set(error, ERROR_USAGE, name, "is set: how many shards are there? (--shards N, --shard I/N)");
    }
    if (index >= count || count > SHARD_COUNT_MAX) {
        return error_set(error, ERROR_USAGE, name, "is shard %" PRIu64 ", of %" PRIu64, index, count);
    }
    *ret_shard = (struct shard){.number = (uint32_t)index + 1, .count = (uint32_t)count};
    return true;
}

/* An array that the user numbered: MIN, MIN + STEP, ..., MAX. With a count of shards, numbers are from 0. */
static bool slurm_shard(uint64_t id, uint32_t count, struct shard *ret_shard, struct error *error)
{
    static const char name[] = "SLURM_ARRAY_TASK_ID";
    if (count > 0) {
        return shard_take(name, id, count, ret_shard, error);
    }
    uint64_t task_count = 0;
    uint64_t min = 0;
    uint64_t max = 0;
    uint64_t step = 1;
    bool is_complete = variable_read("SLURM_ARRAY_TASK_COUNT", &task_count, error) &&
                       variable_read("SLURM_ARRAY_TASK_MIN", &min, error) &&
                       variable_read("SLURM_ARRAY_TASK_MAX", &max, error);
    bool has_step = variable_read("SLURM_ARRAY_TASK_STEP", &step, error);
    if (error_is_set(error)) {
        return false;
    }
    step = has_step && step > 0 ? step : 1;
    /* Some tasks of an array that are run again are another array, with gaps: shares of them would be other ones. */
    bool has_gaps =
        !is_complete || max < min || id < min || (id - min) % step != 0 || (max - min) / step + 1 != task_count;
    if (has_gaps) {
        return error_set(error, ERROR_USAGE, name,
                         "the array has gaps: say how many shards there are, numbered from 0 (--shards N)");
    }
    return shard_take(name, (id - min) / step, task_count, ret_shard, error);
}

bool shard_from_environment(uint32_t count, struct shard *ret_shard, struct error *error)
{
    uint64_t index;
    if (variable_read("SLURM_ARRAY_TASK_ID", &index, error)) {
        return slurm_shard(index, count, ret_shard, error);
    }
    if (!error_is_set(error) && variable_read("JOB_COMPLETION_INDEX", &index, error)) {
        return shard_take("JOB_COMPLETION_INDEX", index, count, ret_shard, error);
    }
    if (!error_is_set(error) && variable_read("PARALLEL_SEQ", &index, error)) { /* from 1 */
        return index > 0 ? shard_take("PARALLEL_SEQ", index - 1, count, ret_shard, error)
                         : error_set(error, ERROR_USAGE, "PARALLEL_SEQ", "is 0: GNU parallel counts from 1");
    }
    if (error_is_set(error)) {
        return false;
    }
    if (count > 1) {
        return error_set(error, ERROR_USAGE, "--shards",
                         "which one is this? None of SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX, PARALLEL_SEQ is set");
    }
    *ret_shard = (struct shard){.number = 1, .count = 1};
    return true;
}
