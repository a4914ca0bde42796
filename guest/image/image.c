/* SPDX-License-Identifier: Apache-2.0 */
/* One image: which format it has, and opening it. */
#include "guest/image/image.h"

#include <string.h>

#include "base/text.h"
#include "guest/image/finding.h"
#include "guest/runtime/messages.h"

/* What formats are shown of a file's start. QEMU shows as much, and zeros where a file is shorter. */
#define PROBE_LEN 512u

const struct format *format_find(const char *name)
{
    for (const struct format *const *format = formats; *format != NULL; format++) {
        if (strcmp((*format)->name, name) == 0) {
            return *format;
        }
    }
    return NULL;
}

/* QEMU's rules: the highest score wins, the first one of several; an empty file is raw. */
static bool probe(const struct image_setup *setup, const struct format **ret_format, struct error *error)
{
    if (setup->file->len == 0) {
        *ret_format = format_find("raw");
        return true;
    }
    uint8_t head[PROBE_LEN];
    const struct format *best = NULL;
    int best_score = 0;
    RETURN_IF_FAILED(cache_read(setup->environment->cache, setup->file, 0, head, sizeof(head), error));
    for (const struct format *const *format = formats; *format != NULL; format++) {
        int score = (*format)->probe((struct span){head, sizeof(head)}, setup->name);
        if (score > best_score) {
            best_score = score;
            best = *format;
        }
    }
    *ret_format = best;
    return true;
}

static bool choose_format(const struct image_setup *setup, const struct format **ret_format, struct error *error)
{
    const char *name = setup->file->name;
    const struct format *format;
    if (setup->format[0] == '\0') {
        RETURN_IF_FAILED(probe(setup, &format, error));
        if (format == NULL) {
            return error_set(error, ERROR_UNSUPPORTED, name, "the image has no format that is known");
        }
    } else {
        format = format_find(setup->format);
        if (format == NULL) {
            return error_set(error, ERROR_USAGE, name, "Unknown driver '%s'", setup->format);
        }
    }
    *ret_format = format;
    return true;
}

/* An InfoMessage tells it, too. */
void image_tell_format(const struct file *file, const char *format)
{
    static instar_GuestMessage message; /* large */
    if (file->source != NULL) {
        return; /* no file of the host's */
    }
    message.which_kind = instar_GuestMessage_format_tag;
    message.kind.format.device = file->device;
    text_copy(message.kind.format.format, sizeof(message.kind.format.format), format);
    messages_post(&message);
}

bool image_repair_dirty(struct image *image, struct error *error)
{
    static instar_CheckMessage result; /* large */
    const struct repair_plan plan = {.fixes_leaks = true, .fixes_errors = true, .findings_max = FINDINGS_MAX};
    struct error problem = {0};
    bool is_without_key = image->is_encrypted && image->cipher == NULL; /* whoever writes to it is refused */
    if (!image->is_dirty || image->format->repair == NULL || is_without_key) {
        return true;
    }
    result = (instar_CheckMessage){0};
    bool success = image->format->repair(image, &plan, &result, &problem);
    messages_flush();
    if (!success) {
        return error_set(error, problem.kind, problem.place, "Could not repair dirty image: %s", problem.detail);
    }
    return true;
}

bool image_open(const struct image_setup *setup, struct image **ret_image, struct error *error)
{
    const struct format *format;
    RETURN_IF_FAILED(choose_format(setup, &format, error));
    if (setup->purpose == IMAGE_TO_CHANGE && format->is_read_only) {
        return error_set(error, ERROR_UNSUPPORTED, setup->file->name, "Image is read-only");
    }
    struct image *image = arena_allocate(setup->environment->arena, sizeof(*image), _Alignof(struct image));
    if (image == NULL) {
        return error_set(error, ERROR_LIMIT, setup->file->name, "no memory is left for the image");
    }
    *image = (struct image){
        .format = format,
        .environment = setup->environment,
        .file = setup->file,
        .header_file = setup->header_file,
        .purpose = setup->purpose,
        .key = setup->key,
        .is_probed = setup->format[0] == '\0',
        .takes_shard = setup->takes_shard,
    };
    if (setup->purpose != IMAGE_TO_DESCRIBE) {
        image_tell_format(setup->file, format->name);
    }
    if (!format->open(image, error) || (image->purpose == IMAGE_TO_CHANGE && !image_repair_dirty(image, error))) {
        error_add_place(error, setup->file->name);
        return false;
    }
    *ret_image = image;
    return true;
}

bool image_require_sound(struct image *image, struct error *error)
{
    static instar_CheckMessage result; /* large */
    if (image->format->check == NULL) {
        return true;
    }
    result = (instar_CheckMessage){0};
    RETURN_IF_FAILED(image->format->check(image, 0, &result, error));
    if (result.corruptions > 0 || result.check_errors > 0) {
        return error_set(error, ERROR_MALFORMED, image->file->name,
                         "the image is damaged (%llu errors in its metadata), and is not changed before 'check -r all' "
                         "has repaired it",
                         (unsigned long long)(result.corruptions + result.check_errors));
    }
    return true;
}
