/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/convert/convert_join.h"

#include <string.h>

#include "base/units.h"
#include "guest/operations/reader/disk_walk.h"

static const struct shard *shard_of(const struct image *image)
{
    return &image->shard->shard;
}

/* An option that another part was not made with; NULL: both are alike. */
static const instar_FormatOption *find_other_option(const struct image_shard *shard, const struct image_shard *first)
{
    for (uint32_t i = 0; i < shard->option_count; i++) {
        const instar_FormatOption *option = &shard->options[i];
        const instar_FormatOption *other = &first->options[i];
        if (i >= first->option_count || strcmp(option->name, other->name) != 0 ||
            strcmp(option->value, other->value) != 0) {
            return option;
        }
    }
    return NULL;
}

/* Nothing has been read of what is behind it: its own tables tell all of its disk. */
static bool check_is_part(const struct image *image, struct error *error)
{
    const char *name = image->file->name;
    if (image->shard == NULL) {
        return error_set(error, ERROR_USAGE, name, "it is no part of an image, as convert --shard makes them");
    }
    if (image->backing != NULL || image->backing_name.is_set) {
        return error_set(error, ERROR_MALFORMED, name, "a part of an image has no backing file");
    }
    return image->virtual_len % SECTOR_LEN == 0 ||
           error_set(error, ERROR_MALFORMED, name, "the disk of a part of an image has whole sectors");
}

/* Whether it can be joined with the first one. */
static bool check_alike(const struct image *image, const struct image *first, struct error *error)
{
    const char *name = image->file->name;
    const struct shard *shard = shard_of(image);
    const struct shard *other = shard_of(first);
    if (shard->count != other->count) {
        return error_set(error, ERROR_USAGE, name, "it is one of %u parts, and the first one is one of %u",
                         shard->count, other->count);
    }
    if (image->virtual_len != first->virtual_len) {
        return error_set(error, ERROR_USAGE, name, "its disk has %llu bytes, and the first one's %llu",
                         (unsigned long long)image->virtual_len, (unsigned long long)first->virtual_len);
    }
    if (memcmp(shard->source, other->source, sizeof(shard->source)) != 0) {
        return error_set(error, ERROR_USAGE, name,
                         "it is a part of another source than the first one, or that has changed in between");
    }
    if (shard->is_compressed != other->is_compressed || shard->sparse_len != other->sparse_len) {
        return error_set(error, ERROR_USAGE, name, "it was made with another -%c than the first one",
                         shard->is_compressed != other->is_compressed ? 'c' : 'S');
    }
    const instar_FormatOption *option = find_other_option(image->shard, first->shard);
    return option == NULL || error_set(error, ERROR_USAGE, name, "it was made with %s=%s, and the first one was not",
                                       option->name, option->value);
}

bool convert_join_sort(struct image **images, uint32_t count, struct error *error)
{
    struct image *sorted[IMAGE_JOB_SOURCES_MAX] = {NULL};
    RETURN_IF_FAILED(check_is_part(images[0], error));
    uint32_t part_count = shard_of(images[0])->count;
    for (uint32_t i = 0; i < count; i++) {
        struct image *image = images[i];
        RETURN_IF_FAILED(check_is_part(image, error) && check_alike(image, images[0], error));
        uint32_t number = shard_of(image)->number;
        if (part_count > IMAGE_JOB_SOURCES_MAX) {
            return error_set(error, ERROR_LIMIT, image->file->name, "it is one of %u parts, and %u can be joined",
                             part_count, IMAGE_JOB_SOURCES_MAX);
        }
        if (sorted[number - 1] != NULL) { /* number <= part_count */
            return error_set(error, ERROR_USAGE, image->file->name, "it is part %u of %u, as is another one", number,
                             part_count);
        }
        sorted[number - 1] = image;
    }
    for (uint32_t i = 0; i < part_count; i++) {
        if (sorted[i] == NULL) {
            return error_set(error, ERROR_USAGE, NULL, "part %u of %u is missing", i + 1, part_count);
        }
    }
    memcpy(images, sorted, count * sizeof(struct image *));
    return true;
}

bool convert_join_check(struct image_job *job, const char *format, struct error *error)
{
    static instar_CheckMessage result; /* large */
    struct image_setup setup = {
        .environment = job->environment,
        .file = job->target,
        .format = format,
        .purpose = IMAGE_TO_CHECK,
    };
    struct image *image;
    RETURN_IF_FAILED(image_open(&setup, &image, error));
    result = (instar_CheckMessage){0};
    RETURN_IF_FAILED(image->format->check == NULL || image->format->check(image, 0, &result, error));
    uint64_t count = result.corruptions + result.check_errors + result.leaks;
    return count == 0 ||
           error_set(error, ERROR_GUEST, job->target->name,
                     "the joined image was made wrong: %llu errors in its metadata", (unsigned long long)count);
}
