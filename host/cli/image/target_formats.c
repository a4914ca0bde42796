/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/target_formats.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "abi/option_tables.h"
#include "base/checked.h"
#include "base/number_text.h"
#include "host/cli/escape.h"
#include "host/cli/image/names/image_driver.h"
#include "host/cli/image/names/image_extents.h"
#include "host/cli/image/names/image_path.h"
#include "host/cli/reach.h"

/* More than a format has. */
#define OPTION_COUNT_MAX 32u
/* Of qemu-img's lists. */
#define NAME_WIDTH 22

struct target_option {
    const char *name;
    enum option_type type;
    enum option_stage stage;
    const char *default_text;
    const char *help;
};

/* clang-format off */
#define TARGET_OPTION(name, type, stage, default_text, help) \
    {name, OPTION_##type, OPTION_STAGE_##stage, default_text, help},
#define TARGET_OPTIONS(format) {format(TARGET_OPTION){NULL, OPTION_TEXT, OPTION_STAGE_NEW, NULL, NULL}}
/* clang-format on */

static const struct target_option raw_options[] = TARGET_OPTIONS(FORMAT_OPTIONS_RAW);
static const struct target_option qcow2_options[] = TARGET_OPTIONS(FORMAT_OPTIONS_QCOW2);
static const struct target_option vdi_options[] = TARGET_OPTIONS(FORMAT_OPTIONS_VDI);
static const struct target_option vpc_options[] = TARGET_OPTIONS(FORMAT_OPTIONS_VPC);
static const struct target_option vhdx_options[] = TARGET_OPTIONS(FORMAT_OPTIONS_VHDX);
static const struct target_option qed_options[] = TARGET_OPTIONS(FORMAT_OPTIONS_QED);
static const struct target_option parallels_options[] = TARGET_OPTIONS(FORMAT_OPTIONS_PARALLELS);
static const struct target_option qcow_options[] = TARGET_OPTIONS(FORMAT_OPTIONS_QCOW);
static const struct target_option vmdk_options[] = TARGET_OPTIONS(FORMAT_OPTIONS_VMDK);
static const struct target_option luks_options[] = TARGET_OPTIONS(FORMAT_OPTIONS_LUKS);

static const struct target_format formats[] = {
    {"raw", "raw", false, false, false, raw_options},
    {"file", "raw", false, false, false, raw_options},
    {"host_device", "raw", false, false, false, raw_options},
    {"qcow2", "qcow2", true, false, true, qcow2_options},
    {"vdi", "vdi", false, false, false, vdi_options},
    {"vmdk", "vmdk", true, true, true, vmdk_options},
    {"vpc", "vpc", true, true, false, vpc_options},
    {"vhdx", "vhdx", true, true, false, vhdx_options},
    {"qed", "qed", true, false, false, qed_options},
    {"parallels", "parallels", false, false, false, parallels_options},
    {"qcow", "qcow", true, false, true, qcow_options},
    {"luks", "luks", false, false, false, luks_options},
};

static bool is_of_new(const struct target_option *option)
{
    return option->stage != OPTION_STAGE_AMEND;
}

static bool is_of_amended(const struct target_option *option)
{
    return option->stage == OPTION_STAGE_AMEND || option->stage == OPTION_STAGE_BOTH;
}

bool target_format_find(const char *name, const struct target_format **ret_format, struct error *error)
{
    for (size_t i = 0; i < ARRAY_COUNT(formats); i++) {
        if (strcmp(name, formats[i].name) == 0) {
            *ret_format = &formats[i];
            return true;
        }
    }
    const struct image_driver *driver = image_driver_find(name);
    if (driver == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "Unknown file format '%s'", name);
    }
    if (driver->is_never_written) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Format driver '%s' does not support image creation", name);
    }
    return error_set(error, ERROR_UNSUPPORTED, NULL, "writing images of format '%s' is not supported yet", name);
}

static const struct target_option *option_find(const struct target_format *format, const char *name)
{
    for (const struct target_option *option = format->options; option->name != NULL; option++) {
        if (strcmp(option->name, name) == 0) {
            return option;
        }
    }
    return NULL;
}

bool target_format_has_option(const struct target_format *format, const char *name)
{
    const struct target_option *option = option_find(format, name);
    return option != NULL && is_of_new(option);
}

/* "on" or "off"; NULL when it is neither. */
static const char *flag_text(const char *value)
{
    bool is_on;
    return !key_value_is_switch(value, &is_on) ? NULL : is_on ? "on" : "off";
}

static bool value_check(const struct target_option *option, const char *value, struct error *error)
{
    uint64_t number;
    switch (option->type) {
    case OPTION_TEXT:
        return true;
    case OPTION_FLAG:
        return flag_text(value) != NULL || error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL,
                                                            "Parameter '%s' expects 'on' or 'off'", option->name);
    case OPTION_NUMBER:
        return number_parse(value, &number) || error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL,
                                                                "Parameter '%s' expects a number", option->name);
    case OPTION_SIZE:
        return size_value_parse(option->name, value, &number, error);
    }
    return false;
}

bool target_format_check_amended(const struct target_format *format, const struct key_values *options,
                                 bool *ret_is_for_creation, struct error *error)
{
    for (unsigned int i = 0; i < options->count; i++) {
        const struct key_value *pair = &options->pairs[i];
        const struct target_option *option = option_find(format, pair->key);
        if (option == NULL || !is_of_amended(option)) {
            *ret_is_for_creation = option != NULL && option->stage != OPTION_STAGE_FILE;
            return error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL, "Invalid parameter '%s'", pair->key);
        }
        RETURN_IF_FAILED(value_check(option, pair->value, error));
    }
    return true;
}

bool target_format_is_raw(const struct target_format *format)
{
    return strcmp(format->guest_name, "raw") == 0;
}

bool target_format_fits(const struct target_format *format, const char *path, struct error *error)
{
    struct stat status;
    if (strcmp(format->name, "host_device") != 0 || (reach_stat(path, &status) && S_ISBLK(status.st_mode))) {
        return true;
    }
    return error_set(error, ERROR_USAGE, NULL, "is not a block device, and 'host_device' makes none");
}

bool target_format_check(const struct target_format *format, const struct key_values *options, struct error *error)
{
    for (unsigned int i = 0; i < options->count; i++) {
        const struct key_value *pair = &options->pairs[i];
        const struct target_option *option = option_find(format, pair->key);
        if (option == NULL || !is_of_new(option)) {
            return error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL, "Invalid parameter '%s'", pair->key);
        }
        RETURN_IF_FAILED(value_check(option, pair->value, error));
    }
    return true;
}

bool target_option_is_hosts(const char *name)
{
    static const char *const names[] = {"size",      "backing_file", "backing_fmt",
                                        "data_file", "nocow",        "extent_size_hint"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int compare_names(const void *left, const void *right)
{
    const struct target_option *const *a = left;
    const struct target_option *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

/* Those of a kind, in the order of their names. */
static void options_print(const struct target_format *format, bool (*is_meant)(const struct target_option *option),
                          bool with_file)
{
    static const char *const types[] = {"str", "bool (on/off)", "num", "size"};
    const struct target_option *sorted[OPTION_COUNT_MAX] = {0};
    size_t count = 0;
    for (const struct target_option *option = format->options; option->name != NULL; option++) {
        if (option->help != NULL && is_meant(option) && (with_file || option->stage != OPTION_STAGE_FILE)) {
            sorted[count++] = option;
        }
    }
    qsort(sorted, count, sizeof(sorted[0]), compare_names);
    for (size_t i = 0; i < count; i++) {
        char text[64];
        snprintf(text, sizeof(text), "%s=<%s>", sorted[i]->name, types[sorted[i]->type]);
        printf("  %-*s - %s\n", NAME_WIDTH, text, sorted[i]->help);
    }
}

void target_format_help_amended(const struct target_format *format)
{
    printf("Amend options for '%s':\n", format->name);
    options_print(format, is_of_amended, false);
}

static void help_print(const struct target_format *format, bool with_file)
{
    bool is_file = strcmp(format->name, format->guest_name) != 0;
    printf("Supported %s%soptions:\n", with_file ? "" : format->name, with_file ? "" : " ");
    options_print(format, is_of_new, with_file || is_file);
    if (!with_file) {
        printf("\nThe protocol level may support further options.\n"
               "Specify the target filename to include those options.\n");
    }
}

void target_format_help(const char *name, bool with_file, struct error *error)
{
    const struct target_format *format;
    if (target_format_find(name != NULL ? name : "raw", &format, error)) {
        help_print(format, with_file);
    }
}

/* A further file that the new image consists of. */
static bool part_add(struct job *job, const char *path, struct error *error)
{
    struct job_output part = {.image = {path, JOB_SECTOR_LEN_MIN, job->output.backend}, .role = JOB_OUTPUT_PART};
    return job_outputs_add(&job->further_outputs, &part, error);
}

bool target_data_file_take(const struct key_values *options, struct job *job, pb_byte_t *bytes, size_t room,
                           pb_size_t *ret_len, struct error *error)
{
    const char *name = key_values_find(options, "data_file");
    if (name == NULL) {
        return true;
    }
    struct span span = {(const uint8_t *)name, strlen(name)};
    if (span.len == 0 || span.len > room) {
        return error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL,
                                "Parameter 'data_file' expects a name of 1 to %zu bytes", room);
    }
    if (image_path_has_protocol(span)) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Parameter 'data_file' expects the path of a file: '%.100s'",
                         name);
    }
    if (strcmp(name, job->output.path) == 0) {
        return error_set(error, ERROR_USAGE, NULL, "the data file is the image");
    }
    memcpy(bytes, name, span.len);
    *ret_len = (pb_size_t)span.len;
    return part_add(job, name, error);
}

/* Whether an image of this subformat is made; it begins so. */
static bool is_vmdk_of(const struct target_format *format, const struct key_values *options, const char *subformat)
{
    const char *value = key_values_find(options, "subformat");
    return strcmp(format->guest_name, "vmdk") == 0 && value != NULL &&
           strncmp(value, subformat, strlen(subformat)) == 0;
}

bool target_format_is_flat(const struct target_format *format, const struct key_values *options)
{
    const char *value = key_values_find(options, "subformat");
    return strcmp(format->guest_name, "vmdk") == 0 && value != NULL &&
           (strcmp(value, "monolithicFlat") == 0 || strcmp(value, "twoGbMaxExtentFlat") == 0);
}

bool target_extent_take(const struct target_format *format, const struct key_values *options, struct job *job,
                        pb_byte_t *bytes, size_t room, pb_size_t *ret_len, struct error *error)
{
    char path[IMAGE_PATH_LEN_MAX + 1];
    if (!is_vmdk_of(format, options, "monolithicFlat")) {
        return true;
    }
    RETURN_IF_FAILED(image_extent_path(job->output.path, "flat", path, sizeof(path), error));
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    size_t len = strlen(name);
    if (len > room) {
        return error_set(error, ERROR_USAGE, NULL, "the name of the extent's file is too long");
    }
    *ret_len = (pb_size_t)len;
    memcpy(bytes, name, len);
    return part_add(job, path, error);
}

bool target_format_is_split(const struct target_format *format, const struct key_values *options)
{
    return is_vmdk_of(format, options, "twoGbMaxExtent");
}

bool target_parts_take(const struct target_format *format, const struct key_values *options, uint64_t disk_len,
                       struct job *job, struct error *error)
{
    char path[IMAGE_PATH_LEN_MAX + 1];
    char mark[32];
    bool is_flat = is_vmdk_of(format, options, "twoGbMaxExtentFlat");
    uint64_t count = divide_up(disk_len, IMAGE_EXTENT_LEN);
    if (!target_format_is_split(format, options)) {
        return true;
    }
    if (count > IMAGE_EXTENT_COUNT_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "an image in files of 2 GiB has %u of them at most",
                         IMAGE_EXTENT_COUNT_MAX);
    }
    for (uint64_t i = 0; i < count; i++) {
        snprintf(mark, sizeof(mark), "%c%03u", is_flat ? 'f' : 's', (unsigned int)i + 1);
        RETURN_IF_FAILED(image_extent_path(job->output.path, mark, path, sizeof(path), error) &&
                         part_add(job, path, error));
    }
    return true;
}

bool target_hints_take(const struct key_values *options, struct job *job, struct error *error)
{
    const char *no_cow = key_values_find(options, "nocow");
    const char *hint = key_values_find(options, "extent_size_hint");
    const char *flag = no_cow != NULL ? flag_text(no_cow) : NULL;
    uint64_t len;
    job->no_cow = flag != NULL && strcmp(flag, "on") == 0;
    if (hint != NULL && size_parse(hint, &len)) {
        if (len > UINT32_MAX) { /* of FS_IOC_FSSETXATTR */
            return error_set(error, ERROR_USAGE, NULL, "Extent size hint is too large");
        }
        job->extent_hint = (uint32_t)len;
    }
    return true;
}

/* With commas twice, as in an option. */
static void text_print(FILE *stream, const char *text)
{
    size_t room = ESCAPED_LEN(strlen(text));
    char *escaped = malloc(room);
    if (escaped == NULL) {
        return; /* a line for a person: not worth to fail */
    }
    escape_text(escaped, room, text);
    for (const char *byte = escaped; *byte != '\0'; byte++) {
        fputs(*byte == ',' ? "," : "", stream);
        fputc(*byte, stream);
    }
    free(escaped);
}

void target_format_print_values(FILE *stream, const struct target_format *format, const struct key_values *options)
{
    for (const struct target_option *option = format->options; option->name != NULL; option++) {
        const char *value = key_values_find(options, option->name);
        value = value != NULL ? value : option->default_text;
        uint64_t number;
        if (value == NULL) {
            continue;
        }
        fprintf(stream, " %s=", option->name);
        if (option->type == OPTION_SIZE && size_parse(value, &number)) {
            fprintf(stream, "%" PRIu64, number);
        } else {
            text_print(stream, value);
        }
    }
}
