/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/write/target.h"

#include <stddef.h>
#include <string.h>

#include "base/checked.h"

/* Files grow by whole pages. */
#define GROWTH_UNIT 4096u
#define GROWTH_FIRST (1u << 20)

bool target_create(const char *format, const struct target_setup *setup, struct target **ret_target,
                   struct error *error)
{
    const struct format *found = format_find(format);
    if (found == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "Unknown file format '%s'", format);
    }
    if (found->create == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Format driver '%s' does not support image creation", format);
    }
    if (setup->shard != NULL && !found->has_shards) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "parts of images of format '%s' cannot be made", format);
    }
    for (uint32_t i = 0; i < setup->further_file_count; i++) {
        const struct file *file = setup->further_files[i];
        if (file->len > 0 && file->is_resizable) {
            return error_set(error, ERROR_HOST, file->name, "the file is not empty");
        }
    }
    return found->create(setup, ret_target, error);
}

bool target_open_image(struct image *image, struct target **ret_target, struct error *error)
{
    if (image->format->open_target == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, image->file->name,
                         "writing to images of format '%s' is not supported yet", image->format->name);
    }
    return image->format->open_target(image, ret_target, error);
}

bool target_open(const char *format, const struct image_key *key, struct image_environment *environment,
                 struct file *file, struct target **ret_target, struct error *error)
{
    struct image_setup setup = {
        .environment = environment,
        .file = file,
        .format = format,
        .purpose = IMAGE_TO_CHANGE,
        .key = *key,
    };
    struct image *image;
    RETURN_IF_FAILED(image_open(&setup, &image, error));
    RETURN_IF_FAILED(image_open_chain(image, error));
    return target_open_image(image, ret_target, error);
}

void target_begin_streams(struct target *target, const struct image *first, const struct image *end)
{
    bool has_any = false;
    for (const struct image *image = first; image != end && image != NULL; image = image->backing) { /* ends: a chain */
        has_any = has_any || image->stream_kind != STREAM_KIND_OTHER;
    }
    if (has_any && target->operations->begin_streams != NULL) {
        target->operations->begin_streams(target);
    }
}

void target_abandon(struct target *target)
{
    if (target != NULL && target->operations->abandon != NULL) {
        target->operations->abandon(target);
    }
}

bool target_check(const struct target *target, struct error *error)
{
    if (error_is_set(&target->error)) {
        *error = target->error;
        return false;
    }
    return true;
}

bool target_settle(struct target *target, struct error *error)
{
    while (target->pending > 0) { /* ends: requests are done at some time, and no others come */
        RETURN_IF_FAILED(io_wait(target->io, error));
    }
    return target_check(target, error);
}

bool target_revive(struct target *target, struct error *error)
{
    while (target->pending > 0) { /* ends: as above */
        RETURN_IF_FAILED(io_wait(target->io, error));
    }
    target->error = (struct error){0};
    return true;
}

void target_request_done(struct target *target, const struct error *error)
{
    target->pending--;
    if (error != NULL && !error_is_set(&target->error)) {
        target->error = *error;
    }
}

void target_write_done(struct io_request *request, const struct error *error)
{
    struct target_write *write = (struct target_write *)((uint8_t *)request - offsetof(struct target_write, request));
    target_request_done(request->owner, error);
    write->done(write, error);
}

void target_begin_write(struct target *target, struct target_write *write)
{
    write->request = (struct io_request){.done = target_write_done, .owner = target};
    target->pending++;
}

static void own_done(struct io_request *request, const struct error *error)
{
    target_request_done(request->owner, error);
}

struct io_request target_own_request(struct target *target)
{
    target->pending++;
    return (struct io_request){.done = own_done, .owner = target};
}

bool target_flush_file(struct target *target, struct file *file, struct error *error)
{
    RETURN_IF_FAILED(target_settle(target, error));
    struct io_request request = target_own_request(target);
    io_flush(target->io, &request, file);
    return target_settle(target, error);
}

bool target_set_len(struct target *target, struct file *file, uint64_t len, struct error *error)
{
    RETURN_IF_FAILED(target_settle(target, error));
    struct io_request request = target_own_request(target);
    io_set_len(target->io, &request, file, len);
    return target_settle(target, error);
}

bool target_grow_to(struct target *target, uint64_t end_off, uint64_t min_growth, uint64_t max_growth,
                    struct error *error)
{
    struct file *file = target->file;
    if (end_off <= file->len) {
        return true;
    }
    if (!file->is_resizable) {
        return error_set(error, ERROR_NO_SPACE, file->name, "the image does not fit: it needs more than %llu bytes",
                         (unsigned long long)file->len);
    }
    /* Small files double: a limit on the size of files is meant for what is written. */
    uint64_t first_growth = min_u64(min_growth, max_u64(end_off, GROWTH_FIRST));
    uint64_t growth = min_u64(max_u64(end_off / 8, first_growth), max_growth);
    return target_set_len(target, file, round_up(end_off + growth, GROWTH_UNIT), error);
}

bool target_check_end(const struct target_setup *setup, uint64_t len, struct error *error)
{
    const struct file *file = setup->file;
    return file->is_resizable || file->len == len ||
           error_set(error, ERROR_UNSUPPORTED, file->name,
                     "an image of this kind is found by its end, and a device of %llu bytes does not end where it does",
                     (unsigned long long)file->len);
}

bool target_check_plain(const struct target_setup *setup, const char *format, struct error *error)
{
    if (setup->compresses) {
        return error_set(error, ERROR_USAGE, NULL, "Compression not supported for this file format");
    }
    return !setup->backing_name.is_set ||
           error_set(error, ERROR_USAGE, NULL, "Backing file not supported for file format '%s'", format);
}

bool target_check_level(int level, int level_min, int level_max, struct error *error)
{
    return (level >= level_min && level <= level_max) ||
           error_set(error, ERROR_USAGE, NULL, "compression level %d: there are %d to %d", level, level_min, level_max);
}

bool target_name_set(struct file_name *name, const uint8_t *bytes, size_t len)
{
    if (len > sizeof(name->bytes)) {
        return false;
    }
    name->is_set = len > 0;
    name->len = (uint16_t)len;
    memcpy(name->bytes, bytes, len);
    return true;
}
