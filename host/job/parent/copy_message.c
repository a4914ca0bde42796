/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/parent/copy_message.h"

#include <pb_encode.h>
#include <string.h>

#include "base/checked.h"
#include "base/text.h"

#define COPY_NAME_LEN sizeof(((instar_VmmConfig *)0)->input_name)

/* A transfer buffer in the guest has the size of the largest sector, but this at least (guest/operations). */
#define TRANSFER_LEN_MIN (1024ull * 1024ull)
#define TRANSFER_COUNT_DEFAULT 16u
/* Memory for transfers: keeps a job under 128 MiB whatever sector sizes and queue depth it has. */
#define TRANSFER_MEMORY_MAX (64ull * 1024ull * 1024ull)
/* For everything else in the guest's arena: request headers, indirect tables, extents. */
#define ARENA_SLACK_LEN 0x200000ull

static void arena_set(const struct copy_settings *settings, struct job *job)
{
    uint64_t sector_len = max_u64(job->inputs[0].sector_len, job->output.sector_len);
    uint64_t transfer_len = max_u64(sector_len, TRANSFER_LEN_MIN);
    uint64_t count = settings->queue_depth != 0 ? settings->queue_depth : TRANSFER_COUNT_DEFAULT;
    /* Two transfers at least, so that reading and writing overlap. */
    job->arena_len_min = 2 * transfer_len + ARENA_SLACK_LEN;
    job->arena_len = max_u64(min_u64(count * transfer_len, TRANSFER_MEMORY_MAX) + ARENA_SLACK_LEN, job->arena_len_min);
}

/* `field` is empty. */
static bool name_set(char field[COPY_NAME_LEN], const char *name, const char *option, struct error *error)
{
    if (name == NULL) {
        return true;
    }
    if (name[0] == '\0' || strlen(name) >= COPY_NAME_LEN || strchr(name, '/') != NULL) {
        return error_set(error, ERROR_USAGE, option, "is not a name in a directory: \"%s\"", name);
    }
    text_copy(field, COPY_NAME_LEN, name);
    return true;
}

bool copy_message_make(const struct copy_settings *settings, struct job *job, uint8_t buffer[FRAME_BODY_MAX],
                       struct error *error)
{
    instar_VmmConfig config = {
        .devices_count = 2,
        .devices = {{.name = "input", .sector_size = job->inputs[0].sector_len},
                    {.name = "output", .sector_size = job->output.sector_len}},
        .progress_percent = settings->progress_percent,
        .request_len = settings->request_len,
        .queue_depth = settings->queue_depth,
        .sync = job->sync,
        .latency_reads = settings->latency_reads,
    };
    if (!name_set(config.input_name, settings->input_name, "--input", error) ||
        !name_set(config.output_name, settings->output_name, "--output", error)) {
        return false;
    }
    pb_ostream_t stream = pb_ostream_from_buffer(buffer, FRAME_BODY_MAX);
    if (!pb_encode(&stream, instar_VmmConfig_fields, &config)) {
        return error_set(error, ERROR_HOST, NULL, "cannot encode the configuration: %s", PB_GET_ERROR(&stream));
    }
    job->message = (struct span){buffer, stream.bytes_written};
    arena_set(settings, job);
    return true;
}
