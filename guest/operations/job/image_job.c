/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/job/image_job.h"

#include <string.h>

#include "base/checked.h"
#include "guest/image/file_window.h"
#include "guest/image/image_file.h"
#include "guest/image/image_part.h"

/* Makes the image show a snapshot. */
static bool select_snapshot(struct image *image, const instar_SnapshotChoice *choice, struct error *error)
{
    if (image->format->select_snapshot == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "Failed to load snapshot: Block format '%s' used by device '' does not support temporarily "
                         "loading internal snapshots",
                         image->format->name);
    }
    return image->format->select_snapshot(image, choice, error);
}

struct image_key image_job_key(const struct image_job *job, uint32_t number, const char *format)
{
    struct image_key key = {.format = format};
    if (number > 0 && number <= job->message->secrets_count) {
        const instar_Secret *secret = &job->message->secrets[number - 1];
        key.id = secret->id;
        key.is_known = secret->is_known;
        key.secret = (struct span){secret->data.bytes, secret->data.size};
    }
    return key;
}

uint32_t image_job_named_count(const instar_ImageJob *message)
{
    uint32_t count = 0;
    uint32_t end = message->sources_count;
    if (message->which_operation == instar_ImageJob_convert_tag && message->operation.convert.target_source != 0) {
        end = (uint32_t)min_u64(end, message->operation.convert.target_source - 1u);
    }
    while (count < end && message->sources[count].behind == 0 && message->sources[count].header_of == 0 &&
           message->sources[count].within == 0) {
        count++;
    }
    return count < message->sources_count ? count : image_job_source_count(message);
}

uint32_t image_job_source_count(const instar_ImageJob *message)
{
    uint32_t alike_max = message->sources_count > 0 ? IMAGE_JOB_SOURCES_MAX - message->sources_count : 0;
    return message->sources_count + (uint32_t)min_u64(message->alike_count, alike_max);
}

/* What the message says of a source. */
static const instar_ImageSource *source_of(const instar_ImageJob *message, uint32_t source)
{
    return &message->sources[min_u64(source, message->sources_count - 1u)];
}

uint32_t image_job_source_device(const instar_ImageJob *message, uint32_t source)
{
    uint32_t behind_last = source < message->sources_count ? 0 : source - message->sources_count + 1;
    return source_of(message, source)->device + behind_last;
}

static struct file_window window_of(const instar_FileWindow *message)
{
    return (struct file_window){.off = message->off, .has_len = message->has_len, .len = message->len};
}

/* The part of the file that the image is, if it is not all of it. */
static bool set_window(const struct image_job *job, uint32_t source, struct error *error)
{
    for (pb_size_t i = 0; i < job->message->windows_count; i++) {
        const instar_FileWindow *message = &job->message->windows[i];
        if (message->source == source && !message->of_disk) {
            struct file_window window = window_of(message);
            return file_set_window(job->sources[source], &window, error);
        }
    }
    return true;
}

/* What is seen of the disk, if it is a part of it. */
static bool open_parts(const struct image_job *job, uint32_t source, struct image **image, struct error *error)
{
    for (pb_size_t i = 0; i < job->message->windows_count; i++) {
        const instar_FileWindow *message = &job->message->windows[i];
        if (message->source == source && message->of_disk) {
            struct file_window window = window_of(message);
            RETURN_IF_FAILED(image_open_part(*image, &window, image, error));
        }
    }
    return true;
}

/* NULL: the image's header is where the image is. */
static struct file *header_file_of(const struct image_job *job, uint32_t source)
{
    if (job->message->which_operation == instar_ImageJob_amend_tag && job->message->operation.amend.is_header) {
        return job->sources[source]; /* which has all that is needed */
    }
    for (uint32_t i = source + 1; i < job->message->sources_count; i++) {
        if (job->message->sources[i].header_of == source + 1) {
            return job->sources[i];
        }
    }
    return NULL;
}

/* The image in the source's file. Of one that is behind `child`, the format is also what that says, if nobody else
 * does. */
static bool open_file_image(struct image_job *job, uint32_t source, const struct image *child,
                            enum image_purpose purpose, struct image **ret_image, struct error *error)
{
    if (source >= image_job_source_count(job->message)) {
        return error_set(error, ERROR_USAGE, NULL, "the job has no image number %u", source);
    }
    const instar_ImageSource *message = source_of(job->message, source);
    struct image_setup setup = {
        .environment = job->environment,
        .file = job->sources[source],
        .header_file = header_file_of(job, source),
        .format = child != NULL && message->format[0] == '\0' ? child->backing_format : message->format,
        .name = {message->name_end.bytes, message->name_end.size},
        .purpose = purpose,
        .key = image_job_key(job, message->key, message->key_format),
        .takes_shard = job->opens_shards,
    };
    return set_window(job, source, error) && image_open(&setup, ret_image, error);
}

/* The image of a source whose file is the disk of `within`. */
static bool open_image_within(struct image_job *job, uint32_t source, struct image *within, enum image_purpose purpose,
                              struct image **ret_image, struct error *error)
{
    const struct file_window whole = {0};
    const instar_ImageSource *message = &job->message->sources[source];
    struct image_setup setup = {
        .environment = image_file_environment(within),
        .format = message->format,
        .purpose = purpose,
        .key = image_job_key(job, message->key, message->key_format),
    };
    if (purpose == IMAGE_TO_CHANGE || purpose == IMAGE_TO_REPAIR) {
        return error_set(error, ERROR_UNSUPPORTED, within->file->name, "an image within another one is only read");
    }
    if (setup.environment == NULL) {
        return error_set(error, ERROR_LIMIT, within->file->name, "no memory is left for the image");
    }
    RETURN_IF_FAILED(image_file_make(within, &setup.file, error) && image_open(&setup, ret_image, error));
    if (!checked_add((*ret_image)->further_allocated_len, within->further_allocated_len,
                     &(*ret_image)->further_allocated_len)) {
        (*ret_image)->further_allocated_len = UINT64_MAX;
    }
    return strcmp((*ret_image)->format->name, "raw") != 0 || /* as which it was probed */
           image_open_part(within, &whole, ret_image, error);
}

/* The source that is within this one; 0: there is none. */
static uint32_t find_within(const instar_ImageJob *message, uint32_t source)
{
    for (uint32_t i = 0; i < message->sources_count; i++) {
        if (message->sources[i].within == source + 1) {
            return i;
        }
    }
    return 0;
}

/* The source that the user wants behind another one; 0: there is none. */
static uint32_t find_behind(const instar_ImageJob *message, uint32_t source)
{
    for (uint32_t i = 0; i < message->sources_count; i++) {
        if (message->sources[i].behind == source + 1) {
            return i;
        }
    }
    return 0;
}

/* What is to be opened of a source, and of those that are within it. */
struct source_plan {
    const struct image *child; /* that it is behind; NULL: none */
    enum image_purpose purpose;
    bool is_alone;       /* nothing that is behind the last one */
    bool shows_snapshot; /* that the message chooses, if it does */
    uint32_t depth;      /* of sources that it is behind */
};

static bool open_source(struct image_job *job, uint32_t source, const struct source_plan *plan,
                        struct image **ret_image, struct error *error);

/* What is behind the image of a source. */
static bool open_behind(struct image_job *job, uint32_t source, uint32_t depth, struct image *image,
                        struct error *error)
{
    uint32_t behind = find_behind(job->message, source);
    bool is_chosen = behind != 0 || source_of(job->message, source)->without_backing;
    image->backing_name.is_set = image->backing_name.is_set && !is_chosen;
    if (behind == 0) {
        return image_open_chain(image, error);
    }
    struct image *backing;
    const struct source_plan plan = {
        .child = image,
        .purpose = image->purpose == IMAGE_TO_CHANGE ? IMAGE_TO_READ : image->purpose,
        .depth = depth + 1,
    };
    if (plan.depth > IMAGE_JOB_SOURCES_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "the job's images are behind each other");
    }
    RETURN_IF_FAILED(open_source(job, behind, &plan, &backing, error)); /* recursion: plan.depth */
    return image_set_backing(image, backing, error);
}

/*
 * The image of a source, the part of it that is seen, and so on with what is within that. Images that others are within
 * are read, whatever these are opened for.
 */
static bool open_source(struct image_job *job, uint32_t source, const struct source_plan *plan,
                        struct image **ret_image, struct error *error)
{
    struct image *image = NULL;
    for (;;) { /* ends: image_file_make bounds how many are within each other */
        uint32_t within = find_within(job->message, source);
        enum image_purpose purpose = within != 0 ? IMAGE_TO_READ : plan->purpose;
        if (image == NULL) {
            RETURN_IF_FAILED(open_file_image(job, source, plan->child, purpose, &image, error));
        } else {
            RETURN_IF_FAILED(open_image_within(job, source, image, purpose, &image, error));
        }
        RETURN_IF_FAILED((plan->is_alone && within == 0) || open_behind(job, source, plan->depth, image, error));
        if (within == 0 && plan->shows_snapshot && job->message->has_snapshot) {
            RETURN_IF_FAILED(select_snapshot(image, &job->message->snapshot, error));
        }
        RETURN_IF_FAILED(open_parts(job, source, &image, error));
        if (within == 0) {
            *ret_image = image;
            return true;
        }
        source = within;
    }
}

bool image_job_open_alone(struct image_job *job, uint32_t source, enum image_purpose purpose, struct image **ret_image,
                          struct error *error)
{
    const struct source_plan plan = {.purpose = purpose, .is_alone = true};
    job->is_opening = true;
    RETURN_IF_FAILED(open_source(job, source, &plan, ret_image, error));
    job->is_opening = false;
    return true;
}

bool image_job_open(struct image_job *job, uint32_t source, enum image_purpose purpose, struct image **ret_image,
                    struct error *error)
{
    const struct source_plan plan = {.purpose = purpose, .shows_snapshot = source < job->source_count};
    job->is_opening = true;
    RETURN_IF_FAILED(open_source(job, source, &plan, ret_image, error));
    job->is_opening = false;
    return true;
}

bool image_job_open_change(struct image_job *job, struct image **ret_image, struct error *error)
{
    return find_behind(job->message, 0) != 0 ? image_job_open(job, 0, IMAGE_TO_CHANGE, ret_image, error)
                                             : image_job_open_alone(job, 0, IMAGE_TO_CHANGE, ret_image, error);
}

bool image_job_run(struct image_job *job, struct error *error)
{
    job->environment->io = job->io;
    job->environment->secrets = job->message->secrets;
    job->environment->secret_count = job->message->secrets_count;
    job->environment->ticks_khz = job->ticks_khz;
    for (const struct operation *operation = operations; operation->name != NULL; operation++) {
        if (operation->tag == job->message->which_operation) {
            return operation->run(job, error);
        }
    }
    return error_set(error, ERROR_UNSUPPORTED, NULL, "this operation (%u) is not supported yet",
                     (unsigned int)job->message->which_operation);
}
