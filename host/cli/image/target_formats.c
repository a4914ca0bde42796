/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/target_formats.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

enum option_value {
    VALUE_TEXT,
    VALUE_FLAG,
    VALUE_NUMBER,
    VALUE_SIZE,
};

struct target_option {
    const char *name;
    enum option_value value;
    bool is_files; /* not the format's, but that of the file around it */
    const char *default_text;
    const char *help; /* NULL: the list leaves it out, as qemu-img 7.2 does not have it */
};

static const struct target_option raw_options[] = {
    {"size", VALUE_SIZE, false, NULL, "Virtual disk size"},
    {"nocow", VALUE_FLAG, true, NULL, "Turn off copy-on-write (valid only on btrfs)"},
    {"preallocation", VALUE_TEXT, true, NULL, "Preallocation mode (allowed values: off, falloc, full)"},
    {"extent_size_hint", VALUE_SIZE, true, NULL, "Extent size hint for the image file, 0 to disable"},
    {NULL, VALUE_TEXT, false, NULL, NULL},
};

static const struct target_option qcow2_options[] = {
    {"encryption", VALUE_FLAG, false, NULL,
     "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)"},
    {"encrypt.format", VALUE_TEXT, false, NULL, "Encrypt the image, format choices: 'aes', 'luks'"},
    {"encrypt.key-secret", VALUE_TEXT, false, NULL, "ID of secret providing qcow AES key or LUKS passphrase"},
    {"encrypt.cipher-alg", VALUE_TEXT, false, NULL, "Name of encryption cipher algorithm"},
    {"encrypt.cipher-mode", VALUE_TEXT, false, NULL, "Name of encryption cipher mode"},
    {"encrypt.ivgen-alg", VALUE_TEXT, false, NULL, "Name of IV generator algorithm"},
    {"encrypt.ivgen-hash-alg", VALUE_TEXT, false, NULL, "Name of IV generator hash algorithm"},
    {"encrypt.hash-alg", VALUE_TEXT, false, NULL, "Name of encryption hash algorithm"},
    {"encrypt.iter-time", VALUE_NUMBER, false, NULL, "Time to spend in PBKDF in milliseconds"},
    {"cluster_size", VALUE_SIZE, false, "65536", "qcow2 cluster size"},
    {"extended_l2", VALUE_FLAG, false, "off", "Extended L2 tables"},
    {"preallocation", VALUE_TEXT, false, NULL, "Preallocation mode (allowed values: off, metadata, falloc, full)"},
    {"compression_type", VALUE_TEXT, false, "zlib", "Compression method used for image cluster compression"},
    {"size", VALUE_SIZE, false, NULL, "Virtual disk size"},
    {"compat", VALUE_TEXT, false, NULL, "Compatibility level (v2 [0.10] or v3 [1.1])"},
    {"backing_file", VALUE_TEXT, false, NULL, "File name of a base image"},
    {"backing_fmt", VALUE_TEXT, false, NULL, "Image format of the base image"},
    {"data_file", VALUE_TEXT, false, NULL, "File name of an external data file"},
    {"data_file_raw", VALUE_FLAG, false, NULL, "The external data file must stay valid as a raw image"},
    {"lazy_refcounts", VALUE_FLAG, false, "off", "Postpone refcount updates"},
    {"refcount_bits", VALUE_NUMBER, false, "16", "Width of a reference count entry in bits"},
    {"nocow", VALUE_FLAG, true, NULL, "Turn off copy-on-write (valid only on btrfs)"},
    {"extent_size_hint", VALUE_SIZE, true, NULL, "Extent size hint for the image file, 0 to disable"},
    {NULL, VALUE_TEXT, false, NULL, NULL},
};

static const struct target_option vdi_options[] = {
    {"size", VALUE_SIZE, false, NULL, "Virtual disk size"},
    {"static", VALUE_FLAG, false, "off", "VDI static (pre-allocated) image"},
    {"nocow", VALUE_FLAG, true, NULL, "Turn off copy-on-write (valid only on btrfs)"},
    {"preallocation", VALUE_TEXT, true, NULL, "Preallocation mode (allowed values: off, falloc, full)"},
    {"extent_size_hint", VALUE_SIZE, true, NULL, "Extent size hint for the image file, 0 to disable"},
    {NULL, VALUE_TEXT, false, NULL, NULL},
};

static const struct target_option vpc_options[] = {
    {"size", VALUE_SIZE, false, NULL, "Virtual disk size"},
    {"subformat", VALUE_TEXT, false, NULL,
     "Type of virtual hard disk format. Supported formats are {dynamic (default) | fixed} "},
    {"force_size", VALUE_FLAG, false, NULL,
     "Force disk size calculation to use the actual size specified, rather than using the nearest CHS-based "
     "calculation"},
    {"nocow", VALUE_FLAG, true, NULL, "Turn off copy-on-write (valid only on btrfs)"},
    {"preallocation", VALUE_TEXT, true, NULL, "Preallocation mode (allowed values: off, falloc, full)"},
    {"extent_size_hint", VALUE_SIZE, true, NULL, "Extent size hint for the image file, 0 to disable"},
    {NULL, VALUE_TEXT, false, NULL, NULL},
};

static const struct target_option vhdx_options[] = {
    {"size", VALUE_SIZE, false, NULL, "Virtual disk size; max of 64TB."},
    {"log_size", VALUE_SIZE, false, "1048576", "Log size; min 1MB."},
    {"block_size", VALUE_SIZE, false, "0",
     "Block Size; min 1MB, max 256MB. 0 means auto-calculate based on image size."},
    {"subformat", VALUE_TEXT, false, NULL,
     "VHDX format type, can be either 'dynamic' or 'fixed'. Default is 'dynamic'."},
    {"block_state_zero", VALUE_FLAG, false, NULL,
     "Force use of payload blocks of type 'ZERO'. Non-standard, but default.  Do not set to 'off' when using 'qemu-img "
     "convert' with subformat=dynamic."},
    {"nocow", VALUE_FLAG, true, NULL, "Turn off copy-on-write (valid only on btrfs)"},
    {"preallocation", VALUE_TEXT, true, NULL, "Preallocation mode (allowed values: off, falloc, full)"},
    {"extent_size_hint", VALUE_SIZE, true, NULL, "Extent size hint for the image file, 0 to disable"},
    {NULL, VALUE_TEXT, false, NULL, NULL},
};

static const struct target_option qed_options[] = {
    {"size", VALUE_SIZE, false, NULL, "Virtual disk size"},
    {"backing_file", VALUE_TEXT, false, NULL, "File name of a base image"},
    {"backing_fmt", VALUE_TEXT, false, NULL, "Image format of the base image"},
    {"cluster_size", VALUE_SIZE, false, "65536", "Cluster size (in bytes)"},
    {"table_size", VALUE_SIZE, false, NULL, "L1/L2 table size (in clusters)"},
    {"nocow", VALUE_FLAG, true, NULL, "Turn off copy-on-write (valid only on btrfs)"},
    {"preallocation", VALUE_TEXT, true, NULL, "Preallocation mode (allowed values: off, falloc, full)"},
    {"extent_size_hint", VALUE_SIZE, true, NULL, "Extent size hint for the image file, 0 to disable"},
    {NULL, VALUE_TEXT, false, NULL, NULL},
};

static const struct target_option parallels_options[] = {
    {"size", VALUE_SIZE, false, NULL, "Virtual disk size"},
    {"cluster_size", VALUE_SIZE, false, "1048576", "Parallels image cluster size"},
    {"nocow", VALUE_FLAG, true, NULL, "Turn off copy-on-write (valid only on btrfs)"},
    {"preallocation", VALUE_TEXT, true, NULL, "Preallocation mode (allowed values: off, falloc, full)"},
    {"extent_size_hint", VALUE_SIZE, true, NULL, "Extent size hint for the image file, 0 to disable"},
    {NULL, VALUE_TEXT, false, NULL, NULL},
};

static const struct target_option qcow_options[] = {
    {"size", VALUE_SIZE, false, NULL, "Virtual disk size"},
    {"backing_file", VALUE_TEXT, false, NULL, "File name of a base image"},
    {"backing_fmt", VALUE_TEXT, false, NULL, "Format of the backing image"},
    {"encryption", VALUE_FLAG, false, NULL,
     "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)"},
    {"encrypt.format", VALUE_TEXT, false, NULL, "Encrypt the image, format choices: 'aes'"},
    {"encrypt.key-secret", VALUE_TEXT, false, NULL, "ID of the secret that provides the AES encryption key"},
    {"nocow", VALUE_FLAG, true, NULL, "Turn off copy-on-write (valid only on btrfs)"},
    {"preallocation", VALUE_TEXT, true, NULL, "Preallocation mode (allowed values: off, falloc, full)"},
    {"extent_size_hint", VALUE_SIZE, true, NULL, "Extent size hint for the image file, 0 to disable"},
    {NULL, VALUE_TEXT, false, NULL, NULL},
};

static const struct target_option vmdk_options[] = {
    {"size", VALUE_SIZE, false, NULL, "Virtual disk size"},
    {"adapter_type", VALUE_TEXT, false, NULL,
     "Virtual adapter type, can be one of ide (default), lsilogic, buslogic or legacyESX"},
    {"backing_file", VALUE_TEXT, false, NULL, "File name of a base image"},
    {"backing_fmt", VALUE_TEXT, false, NULL, "Must be 'vmdk' if present"},
    {"compat6", VALUE_FLAG, false, "off", "VMDK version 6 image"},
    {"hwversion", VALUE_TEXT, false, "undefined", "VMDK hardware version"},
    {"toolsversion", VALUE_TEXT, false, NULL, "VMware guest tools version"},
    {"subformat", VALUE_TEXT, false, NULL,
     "VMDK flat extent format, can be one of {monolithicSparse (default) | monolithicFlat | twoGbMaxExtentSparse | "
     "twoGbMaxExtentFlat | streamOptimized} "},
    {"zeroed_grain", VALUE_FLAG, false, NULL, "Enable efficient zero writes using the zeroed-grain GTE feature"},
    {"nocow", VALUE_FLAG, true, NULL, "Turn off copy-on-write (valid only on btrfs)"},
    {"preallocation", VALUE_TEXT, true, NULL, "Preallocation mode (allowed values: off, falloc, full)"},
    {"extent_size_hint", VALUE_SIZE, true, NULL, "Extent size hint for the image file, 0 to disable"},
    {NULL, VALUE_TEXT, false, NULL, NULL},
};

static const struct target_option luks_options[] = {
    {"size", VALUE_SIZE, false, NULL, "Virtual disk size"},
    {"key-secret", VALUE_TEXT, false, NULL, "ID of the secret that provides the keyslot passphrase"},
    {"cipher-alg", VALUE_TEXT, false, NULL, "Name of encryption cipher algorithm"},
    {"cipher-mode", VALUE_TEXT, false, NULL, "Name of encryption cipher mode"},
    {"ivgen-alg", VALUE_TEXT, false, NULL, "Name of IV generator algorithm"},
    {"ivgen-hash-alg", VALUE_TEXT, false, NULL, "Name of IV generator hash algorithm"},
    {"hash-alg", VALUE_TEXT, false, NULL, "Name of encryption hash algorithm"},
    {"iter-time", VALUE_NUMBER, false, NULL, "Time to spend in PBKDF in milliseconds"},
    {"detached-header", VALUE_FLAG, false, NULL, NULL},
    {"nocow", VALUE_FLAG, true, NULL, "Turn off copy-on-write (valid only on btrfs)"},
    {"preallocation", VALUE_TEXT, true, NULL, "Preallocation mode (allowed values: off, falloc, full)"},
    {"extent_size_hint", VALUE_SIZE, true, NULL, "Extent size hint for the image file, 0 to disable"},
    {NULL, VALUE_TEXT, false, NULL, NULL},
};

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

/* A line of a list. */
static void option_print(const char *name, enum option_value value, const char *help)
{
    static const char *const types[] = {"str", "bool (on/off)", "num", "size"};
    char text[64];
    snprintf(text, sizeof(text), "%s=<%s>", name, types[value]);
    printf("  %-*s - %s\n", NAME_WIDTH, text, help);
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
    return option_find(format, name) != NULL;
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
    switch (option->value) {
    case VALUE_TEXT:
        return true;
    case VALUE_FLAG:
        return flag_text(value) != NULL || error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL,
                                                            "Parameter '%s' expects 'on' or 'off'", option->name);
    case VALUE_NUMBER:
        return number_parse(value, &number) || error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL,
                                                                "Parameter '%s' expects a number", option->name);
    case VALUE_SIZE:
        return size_value_parse(option->name, value, &number, error);
    }
    return false;
}

struct amended_option {
    const char *name;
    const char *help;        /* NULL: as of a new image */
    enum option_value value; /* of one that a new image does not have */
};

/* Of formats whose images are amended: in the order of their names, with those of encryption; ends without a name. */
static const struct amended_option qcow2_amended[] = {
    {"backing_file", NULL, VALUE_TEXT},
    {"backing_fmt", NULL, VALUE_TEXT},
    {"compat", NULL, VALUE_TEXT},
    {"data_file", NULL, VALUE_TEXT},
    {"data_file_raw", NULL, VALUE_TEXT},
    {"encrypt.iter-time", NULL, VALUE_NUMBER},
    {"encrypt.keyslot", "Select a single keyslot to modify explicitly", VALUE_NUMBER},
    {"encrypt.new-secret", "New secret to set in the matching keyslots. Empty string to erase", VALUE_TEXT},
    {"encrypt.old-secret", "Select all keyslots that match this password", VALUE_TEXT},
    {"encrypt.state", "Select new state of affected keyslots (active/inactive)", VALUE_TEXT},
    {"lazy_refcounts", NULL, VALUE_TEXT},
    {"refcount_bits", NULL, VALUE_TEXT},
    {"size", NULL, VALUE_TEXT},
    {NULL, NULL, VALUE_TEXT},
};

static const struct amended_option luks_amended[] = {
    {"iter-time", NULL, VALUE_NUMBER},
    {"keyslot", "Select a single keyslot to modify explicitly", VALUE_NUMBER},
    {"new-secret", "New secret to set in the matching keyslots. Empty string to erase", VALUE_TEXT},
    {"old-secret", "Select all keyslots that match this password", VALUE_TEXT},
    {"state", "Select new state of affected keyslots (active/inactive)", VALUE_TEXT},
    {NULL, NULL, VALUE_TEXT},
};

static const struct amended_option *amended_options(const struct target_format *format)
{
    return strcmp(format->name, "luks") == 0 ? luks_amended : qcow2_amended;
}

static const struct amended_option *amended_find(const struct target_format *format, const char *name)
{
    const struct amended_option *option = amended_options(format);
    while (option->name != NULL && strcmp(option->name, name) != 0) {
        option++;
    }
    return option->name != NULL ? option : NULL;
}

static bool value_check_as(const char *name, enum option_value type, const char *value, struct error *error)
{
    const struct target_option option = {.name = name, .value = type};
    return value_check(&option, value, error);
}

bool target_format_check_amended(const struct target_format *format, const struct key_values *options,
                                 bool *ret_is_for_creation, struct error *error)
{
    for (unsigned int i = 0; i < options->count; i++) {
        const struct key_value *pair = &options->pairs[i];
        const struct target_option *option = option_find(format, pair->key);
        const struct amended_option *amended = amended_find(format, pair->key);
        if (amended == NULL) {
            *ret_is_for_creation = option != NULL && !option->is_files;
            return error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL, "Invalid parameter '%s'", pair->key);
        }
        RETURN_IF_FAILED(
            value_check_as(pair->key, option != NULL ? option->value : amended->value, pair->value, error));
    }
    return true;
}

void target_format_help_amended(const struct target_format *format)
{
    printf("Amend options for '%s':\n", format->name);
    for (const struct amended_option *amended = amended_options(format); amended->name != NULL; amended++) {
        const struct target_option *option = option_find(format, amended->name);
        const char *help = amended->help;
        help = help == NULL && option != NULL ? option->help : help;
        option_print(amended->name, option != NULL ? option->value : amended->value, help);
    }
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
        if (option == NULL) {
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

static void help_print(const struct target_format *format, bool with_file)
{
    const struct target_option *sorted[OPTION_COUNT_MAX] = {0};
    size_t count = 0;
    bool is_file = strcmp(format->name, format->guest_name) != 0;
    for (const struct target_option *option = format->options; option->name != NULL; option++) {
        if (option->help != NULL && (with_file || is_file || !option->is_files)) {
            sorted[count++] = option;
        }
    }
    qsort(sorted, count, sizeof(sorted[0]), compare_names);
    printf("Supported %s%soptions:\n", with_file ? "" : format->name, with_file ? "" : " ");
    for (size_t i = 0; i < count; i++) {
        option_print(sorted[i]->name, sorted[i]->value, sorted[i]->help);
    }
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
    uint64_t count = disk_len / IMAGE_EXTENT_LEN + (disk_len % IMAGE_EXTENT_LEN != 0);
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
        if (option->value == VALUE_SIZE && size_parse(value, &number)) {
            fprintf(stream, "%" PRIu64, number);
        } else {
            text_print(stream, value);
        }
    }
}
