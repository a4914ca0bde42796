/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/job/command_job_setup.h"

#include <errno.h>
#include <pb_encode.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "abi/layout.h"
#include "base/attributes.h"
#include "base/checked.h"
#include "base/text.h"
#include "host/cli/image/job/command_job_needs.h"
#include "host/cli/image/names/image_extents.h"
#include "host/cli/reach.h"

/* The file behind the first source is the first one of the further outputs. */
#define BASE_OUTPUT 1u

#define BACKING_FILE "a backing file"

_Static_assert(instar_ImageJob_size <= LAYOUT_MESSAGE_LEN, "every job fits its place");

bool command_job_changes_image(const struct command_job *job)
{
    return job->options.machine.job.output_kind == JOB_OUTPUT_IN_PLACE;
}

/* The inputs' numbers without those that are outputs: the first source, if it is written, and what is behind it. */
uint32_t command_job_source_device(const struct command_job *job, unsigned int source)
{
    uint32_t device = 0;
    uint32_t count = command_job_input_count(job);
    if (!job->writes_source) {
        return source;
    }
    for (unsigned int i = 1; i < count; i++) {
        device += i < source && command_job_input(job, i) != job->base_name ? 1 : 0;
    }
    uint32_t read_count = count - 1 - (job->base_name != NULL ? 1 : 0);
    if (source == 0) {
        return read_count;
    }
    return command_job_input(job, source) == job->base_name ? read_count + 1 : device;
}

/* Whether the image that is written into is among the message's sources: it is when it has others behind it. */
static bool has_target_source(const struct command_job *job)
{
    return job->target_behind_count > 0;
}

/* The place of an input among the message's sources; that of the target is before those that are the target's. */
static unsigned int source_number(const struct command_job *job, unsigned int input)
{
    unsigned int first = command_job_input_count(job) - job->target_behind_count;
    return has_target_source(job) && input >= first ? input + 1 : input;
}

static unsigned int target_number(const struct command_job *job)
{
    return command_job_input_count(job) - job->target_behind_count;
}

/*
 * Of a path, the last dot and what follows, if that is short: what else the name says is nobody's business. As in QEMU,
 * a name that is nothing else has no such end.
 */
static void name_end_set(instar_ImageSource *source, const struct image_name *name)
{
    const char *dot = name->is_path ? strrchr(name->text, '.') : NULL;
    size_t len = dot != NULL && dot != name->text ? strlen(dot) : 0;
    source->name_end.size = len <= sizeof(source->name_end.bytes) ? (pb_size_t)len : 0;
    if (source->name_end.size > 0) {
        memcpy(source->name_end.bytes, dot, source->name_end.size);
    }
}

/* What the image with this number is to an earlier one: ImageSource.behind, or ImageSource.header_of. */
static void relation_set(const struct command_job *job, unsigned int number, instar_ImageSource *source)
{
    const struct image_name *name = command_job_input(job, number);
    for (unsigned int i = 0; i <= number; i++) {
        bool is_target = i == number && has_target_source(job);
        const struct image_name *earlier = is_target ? job->target_name : command_job_input(job, i);
        uint16_t earlier_number = (uint16_t)((is_target ? target_number(job) : source_number(job, i)) + 1);
        source->behind = earlier->backing == name ? earlier_number : source->behind;
        source->header_of = earlier->header == name ? earlier_number : source->header_of;
    }
}

/* The file behind the first source that is written, too: a source of its own where no name of the user's is for it. */
static bool base_set(struct command_job *job)
{
    struct job *machine_job = &job->options.machine.job;
    struct job_output base = {
        .image = {job->base_path, JOB_SECTOR_LEN_MIN, machine_job->output.backend},
        .role = JOB_OUTPUT_BACKING,
        .writes_alone = job->base_name == NULL || strcmp(job->base_name->format, "raw") != 0,
        .has_identity = job->has_base_identity,
        .identity = job->base_identity,
    };
    if (job->base_path == NULL) {
        return true;
    }
    machine_job->fills_output = true;
    if (job->base_name == NULL) {
        job->message.operation.commit.base_source = job->message.sources_count;
        job->message.sources[job->message.sources_count++] =
            (instar_ImageSource){.device = (uint16_t)(machine_job->input_count + 1)};
    }
    return job_outputs_add(&machine_job->further_outputs, &base, &job->error);
}

/*
 * What the guest is told of a source. Of those that are alike, the message has as many as fit, and of the rest that
 * there are so many more like the last one.
 */
static bool source_set(struct command_job *job, unsigned int input, uint32_t device)
{
    const struct image_name *name = command_job_input(job, input);
    unsigned int number = source_number(job, input);
    instar_ImageJob *message = &job->message;
    if (number >= ARRAY_COUNT(message->sources)) {
        const instar_ImageSource *last = &message->sources[ARRAY_COUNT(message->sources) - 1];
        message->alike_count++;
        return (strcmp(name->format, last->format) == 0 && name->without_backing == last->without_backing &&
                !name->window.is_set && name->layer_count == 0 && !name->has_key_secret) ||
               error_set(&job->error, ERROR_UNSUPPORTED, NULL,
                         "of more than %zu images to read, all must be files of the same format",
                         ARRAY_COUNT(message->sources));
    }
    instar_ImageSource *source = &message->sources[number];
    source->device = (uint16_t)device;
    text_copy(source->format, sizeof(source->format), name->format);
    source->without_backing = name->without_backing;
    relation_set(job, input, source);
    if (!job->has_alike_sources) {
        name_end_set(source, name);
    }
    message->sources_count = (pb_size_t)(number + 1);
    return true;
}

/* What is written into (convert -n). */
static void target_source_set(struct command_job *job)
{
    instar_ConvertRequest *request = &job->message.operation.convert;
    instar_ImageSource *source = &job->message.sources[target_number(job)];
    request->target_source = (uint16_t)(target_number(job) + 1);
    source->device = (uint16_t)request->target_device;
    source->without_backing = job->target_name->without_backing;
    text_copy(source->format, sizeof(source->format), request->target_format);
    job->message.sources_count = (pb_size_t)(command_job_input_count(job) + 1);
}

static bool sources_set(struct command_job *job)
{
    struct job *machine_job = &job->options.machine.job;
    struct cache_mode cache = {0};
    if (job->options.source_cache != NULL) {
        cache_mode_parse(job->options.source_cache, &cache); /* has been checked */
    }
    /* Of a new image's backing file, size and format are looked at, which takes no lock on its data. */
    machine_job->only_describes = job->message.which_operation == instar_ImageJob_info_tag ||
                                  job->message.which_operation == instar_ImageJob_create_tag;
    machine_job->lock_images = true;
    machine_job->force_share = job->options.force_share;
    unsigned int count = command_job_input_count(job);
    job->message.sources_count = 0;
    job->message.alike_count = 0;
    if (count >= ARRAY_COUNT(job->message.sources) && (has_target_source(job) || job->base_path != NULL)) {
        return error_set(&job->error, ERROR_LIMIT, NULL, "more than %zu images", ARRAY_COUNT(job->message.sources));
    }
    for (unsigned int i = 0; i < count; i++) {
        const struct image_name *name = command_job_input(job, i);
        uint32_t device = command_job_source_device(job, i);
        bool is_written = job->writes_source && i == 0;
        bool is_base = name == job->base_name;
        bool is_direct = name->is_direct || (is_written && job->writes_directly) || (!is_written && cache.is_direct);
        struct job_image *image = is_written ? &machine_job->output : &machine_job->inputs[device];
        if (is_base) {
            job->message.operation.commit.base_source = (uint16_t)source_number(job, i);
        } else {
            image->path = name->path;
            image->backend = is_direct ? BACKEND_DIRECT : job->options.machine.backend;
        }
        machine_job->force_share = machine_job->force_share || name->force_share;
        machine_job->lock_images = machine_job->lock_images && !name->no_locks;
        RETURN_IF_FAILED(source_set(job, i, device));
    }
    machine_job->input_count = count - (job->writes_source ? 1 : 0) - (job->base_name != NULL ? 1 : 0);
    if (job->writes_source) {
        machine_job->output_kind = JOB_OUTPUT_IN_PLACE;
        machine_job->writes_alone = strcmp(command_job_input(job, 0)->format, "raw") != 0;
        machine_job->resizes_output = true;
        machine_job->may_fill_disk = true;
        machine_job->output_len = JOB_OUTPUT_AS_GUEST_SAYS;
    }
    if (has_target_source(job)) {
        target_source_set(job);
    }
    return base_set(job);
}

/* Options of formats that name a secret: what they are about, the guest knows. */
static bool option_keys_set(struct command_job *job, const instar_FormatOption *options, pb_size_t count)
{
    static const char end[] = "-secret"; /* key-, new-, old- */
    for (pb_size_t i = 0; i < count; i++) {
        size_t len = strlen(options[i].name);
        uint32_t number;
        if (len >= strlen(end) && strcmp(options[i].name + len - strlen(end), end) == 0) {
            RETURN_IF_FAILED(
                secret_store_give(&job->options.secrets, options[i].value, &job->message, &number, &job->error));
        }
    }
    return true;
}

static bool convert_keys_set(struct command_job *job)
{
    instar_ConvertRequest *request = &job->message.operation.convert;
    const struct image_name *name = job->target_name;
    uint32_t number = 0;
    if (name != NULL) {
        RETURN_IF_FAILED(!name->has_key_secret || secret_store_give(&job->options.secrets, name->key_secret,
                                                                    &job->message, &number, &job->error));
        request->target_key = (uint8_t)number;
        text_copy(request->target_key_format, sizeof(request->target_key_format), name->key_format);
    }
    if (has_target_source(job)) {
        instar_ImageSource *source = &job->message.sources[target_number(job)];
        source->key = (uint8_t)number;
        text_copy(source->key_format, sizeof(source->key_format), name->key_format);
    }
    return option_keys_set(job, request->options, request->options_count);
}

static bool target_keys_set(struct command_job *job)
{
    instar_ImageJob *message = &job->message;
    switch (message->which_operation) {
    case instar_ImageJob_create_tag:
        return option_keys_set(job, message->operation.create.options, message->operation.create.options_count);
    case instar_ImageJob_measure_tag:
        return option_keys_set(job, message->operation.measure.options, message->operation.measure.options_count);
    case instar_ImageJob_convert_tag:
        return convert_keys_set(job);
    case instar_ImageJob_amend_tag:
        return option_keys_set(job, message->operation.amend.options, message->operation.amend.options_count);
    default:
        return true;
    }
}

static bool keys_set(struct command_job *job)
{
    unsigned int count = command_job_input_count(job);
    for (unsigned int i = 0; i < count; i++) {
        const struct image_name *name = command_job_input(job, i);
        uint32_t number = 0;
        RETURN_IF_FAILED(!name->has_key_secret || secret_store_give(&job->options.secrets, name->key_secret,
                                                                    &job->message, &number, &job->error));
        if (i >= ARRAY_COUNT(job->message.sources)) {
            continue; /* like the last one: it has none */
        }
        instar_ImageSource *source = &job->message.sources[source_number(job, i)];
        source->key = (uint8_t)number;
        text_copy(source->key_format, sizeof(source->key_format), name->key_format);
    }
    return target_keys_set(job);
}

static bool window_add(struct command_job *job, unsigned int source, const struct image_window *window, bool is_of_disk)
{
    instar_ImageJob *message = &job->message;
    if (message->windows_count == ARRAY_COUNT(message->windows)) {
        return error_set(&job->error, ERROR_LIMIT, NULL, "more than %zu parts of files and disks",
                         ARRAY_COUNT(message->windows));
    }
    message->windows[message->windows_count++] = (instar_FileWindow){
        .source = source, .off = window->off, .has_len = window->has_len, .len = window->len, .of_disk = is_of_disk};
    return true;
}

/* What is behind an image within another one is behind a source of its own. */
static void layer_backing_set(struct command_job *job, const struct image_layer *layer, unsigned int source)
{
    unsigned int count = command_job_input_count(job);
    for (unsigned int i = 0; i < count && layer->backing != NULL; i++) {
        if (command_job_input(job, i) == layer->backing) {
            job->message.sources[source_number(job, i)].behind = (uint16_t)(source + 1);
        }
    }
}

/* An image within what is seen of the source: *source is that of the image then. */
static bool layer_add(struct command_job *job, const struct image_layer *layer, unsigned int *source)
{
    instar_ImageJob *message = &job->message;
    uint32_t key = 0;
    if (message->sources_count == ARRAY_COUNT(message->sources)) {
        return error_set(&job->error, ERROR_LIMIT, NULL, "more than %zu images, with those within others",
                         ARRAY_COUNT(message->sources));
    }
    RETURN_IF_FAILED(!layer->has_key_secret ||
                     secret_store_give(&job->options.secrets, layer->key_secret, message, &key, &job->error));
    instar_ImageSource *added = &message->sources[message->sources_count];
    *added = (instar_ImageSource){
        .without_backing = layer->without_backing, .key = (uint8_t)key, .within = (uint8_t)(*source + 1)};
    text_copy(added->format, sizeof(added->format), layer->format);
    text_copy(added->key_format, sizeof(added->key_format), layer->key_format);
    *source = message->sources_count++;
    layer_backing_set(job, layer, *source);
    return true;
}

/* What is seen of the files: parts of them and of disks, and images within these. */
static bool layers_set(struct command_job *job)
{
    unsigned int count = command_job_input_count(job);
    job->message.windows_count = 0;
    for (unsigned int i = 0; i < count; i++) {
        const struct image_name *name = command_job_input(job, i);
        unsigned int source = source_number(job, i);
        RETURN_IF_FAILED(!name->window.is_set || window_add(job, source, &name->window, false));
        for (unsigned int j = 0; j < name->layer_count; j++) {
            const struct image_layer *layer = &name->layers[j];
            RETURN_IF_FAILED(layer->is_image ? layer_add(job, layer, &source)
                                             : window_add(job, source, &layer->window, true));
        }
    }
    return true;
}

/* What is printed is bounded here; findings are best not made. */
static void lines_bound(struct command_job *job)
{
    const struct job_limits *limits = &job->options.machine.job.limits;
    job->warnings = (struct line_budget){.max = line_budget_max(limits, LINES_OF_WARNINGS)};
    job->findings_max = (uint32_t)min_u64(line_budget_max(limits, LINES_OF_FINDINGS), UINT32_MAX);
    if (job->message.which_operation == instar_ImageJob_check_tag) {
        job->message.operation.check.findings_max = job->findings_max;
    }
}

/* Of the new file, without folders; of one that is too long, none. */
static void name_set(instar_ImageIdentity *identity, const char *path)
{
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    const char *name = slash != NULL ? slash + 1 : path;
    size_t len = name != NULL ? strlen(name) : 0;
    identity->name.size = len <= sizeof(identity->name.bytes) ? (pb_size_t)len : 0;
    if (identity->name.size > 0) {
        memcpy(identity->name.bytes, name, len);
    }
}

/* For new images. */
static bool identity_set(struct command_job *job)
{
    instar_ImageJob *message = &job->message;
    instar_ImageIdentity *identity = &message->identity;
    if (message->which_operation != instar_ImageJob_create_tag &&
        message->which_operation != instar_ImageJob_convert_tag &&
        message->which_operation != instar_ImageJob_amend_tag && job->new_extents.count == 0) {
        return true;
    }
    message->has_identity = true;
    identity->date_sec = (uint64_t)time(NULL);
    name_set(identity, job->options.machine.job.output.path);
    return getrandom(identity->random, sizeof(identity->random), 0) == (ssize_t)sizeof(identity->random) ||
           error_set(&job->error, ERROR_HOST, NULL, "no random bytes: %s", strerror(errno));
}

static bool message_encode(struct command_job *job)
{
    static uint8_t buffer[LAYOUT_MESSAGE_LEN];
    if (job->message.secrets_count > 0) {
        secret_memory_hide(buffer, sizeof(buffer));
    }
    RETURN_IF_FAILED(identity_set(job));
    pb_ostream_t stream = pb_ostream_from_buffer(buffer, sizeof(buffer));
    if (!pb_encode(&stream, instar_ImageJob_fields, &job->message)) {
        return error_set(&job->error, ERROR_HOST, NULL, "cannot encode the job: %s", PB_GET_ERROR(&stream));
    }
    job->options.machine.job.message = (struct span){buffer, stream.bytes_written};
    return true;
}

/* A file that images may lead to, which the user names. For reach_do. */
struct allowance {
    struct policy *policy;
    const char *path;
    const char *what;
    struct error *error;
};

static bool allowance_do(void *context)
{
    const struct allowance *allowance = context;
    return policy_allow_file(allowance->policy, allowance->path, allowance->what, allowance->error);
}

static bool file_allow(struct command_job *job, const char *path, const char *what, struct error *error)
{
    struct allowance allowance = {&job->options.machine.policy, path, what, error};
    return reach_do(allowance_do, &allowance, error);
}

/* A data file of the output with the number `owner`, which is written. */
static bool data_output_take(struct command_job *job, const char *path, unsigned int owner)
{
    struct job *machine_job = &job->options.machine.job;
    struct job_outputs *outputs = &machine_job->further_outputs;
    struct job_output output = {
        .image = {path, JOB_SECTOR_LEN_MIN, machine_job->output.backend}, .role = JOB_OUTPUT_DATA, .owner = owner};
    for (unsigned int i = 0; i < outputs->count; i++) {
        if (outputs->list[i].role == JOB_OUTPUT_DATA && outputs->list[i].owner == owner) {
            return strcmp(outputs->list[i].image.path, path) == 0 ||
                   error_set(&job->error, ERROR_USAGE, "--data-file", "two data files are given");
        }
    }
    return job_outputs_add(outputs, &output, &job->error);
}

/*
 * Data files that the user names: of an image that is changed it is one of the job's outputs. Others are read, when an
 * image leads to them.
 */
static bool data_files_take(struct command_job *job)
{
    static const char what[] = "a data file";
    bool writes_data = command_job_changes_image(job) && !job->keeps_source;
    const char *path = job->options.data_file;
    if (path != NULL) {
        RETURN_IF_FAILED(writes_data ? data_output_take(job, path, 0) : file_allow(job, path, what, &job->error));
    }
    unsigned int count = command_job_input_count(job);
    for (unsigned int i = 0; i < count; i++) {
        path = command_job_input(job, i)->data_file;
        if (path != NULL) {
            bool is_base = command_job_input(job, i) == job->base_name;
            bool is_written = is_base || (writes_data && job->writes_source && i == 0);
            RETURN_IF_FAILED(is_written ? data_output_take(job, path, is_base ? BASE_OUTPUT : 0)
                                        : file_allow(job, path, what, &job->error));
        }
    }
    path = job->target_data_file;
    RETURN_IF_FAILED(path == NULL || data_output_take(job, path, 0));
    return job->base_data_file == NULL || data_output_take(job, job->base_data_file, BASE_OUTPUT);
}

/* The name of a file that the user has behind an image may also stand in one. What cannot be opened, the job finds. */
static void backing_allow(struct command_job *job, const char *path)
{
    struct error ignored = {0};
    bool is_allowed = file_allow(job, path, BACKING_FILE, &ignored);
    (void)is_allowed;
}

/* The files of images that are changed, which these may consist of. */
static bool extents_take(struct command_job *job)
{
    struct job *machine_job = &job->options.machine.job;
    const instar_ImageJob *message = &job->message;
    const char *format = job->writes_source ? command_job_input(job, 0)->format : "raw";
    if (message->which_operation == instar_ImageJob_convert_tag) {
        format = message->operation.convert.target_format;
    }
    if (!command_job_changes_image(job)) {
        return true;
    }
    bool is_vmdk = strcmp(format, "vmdk") == 0;
    RETURN_IF_FAILED(job->keeps_source || (!is_vmdk && format[0] != '\0') ||
                     image_extents_take(machine_job, machine_job->output.path, 0, is_vmdk, &job->error));
    RETURN_IF_FAILED(image_extents_add(machine_job, machine_job->output.path, &job->new_extents, &job->error));
    return job->base_path == NULL || image_extents_take(machine_job, job->base_path, BASE_OUTPUT, false, &job->error);
}

static void sources_allow(struct command_job *job)
{
    for (unsigned int i = 1; job->writes_source && i < job->source_count; i++) {
        backing_allow(job, job->sources[i].path);
    }
    if (job->target_backing != NULL) {
        backing_allow(job, job->target_backing);
    }
}

void command_job_forget(struct command_job *job)
{
    explicit_bzero(job->message.secrets, sizeof(job->message.secrets));
    explicit_bzero(&job->message.identity, sizeof(job->message.identity)); /* what keys of a new image are made of */
    image_options_drop_objects(&job->options);
    if (job->message.secrets_count > 0 && job->options.machine.job.message.data != NULL) {
        /* What was encoded has them, too. */
        explicit_bzero((void *)(uintptr_t)job->options.machine.job.message.data, job->options.machine.job.message.len);
    }
}

bool command_job_set_up(struct command_job *job)
{
    lines_bound(job);
    RETURN_IF_FAILED(sources_set(job) && keys_set(job) && layers_set(job));
    RETURN_IF_FAILED(data_files_take(job) && extents_take(job));
    sources_allow(job);
    command_job_set_needs(job);
    return message_encode(job);
}
