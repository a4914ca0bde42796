/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The formats that images are written in, and the options that each one has: for help, for what `create` prints, and
 * to refuse what makes no sense before a machine runs. Values are the guest's to check.
 */
#ifndef INSTAR_HOST_CLI_IMAGE_TARGET_FORMATS_H
#define INSTAR_HOST_CLI_IMAGE_TARGET_FORMATS_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "host/cli/image/values/key_values.h"
#include "host/job/job.h"

struct target_option;

struct target_format {
    const char *name;
    const char *guest_name; /* "raw" for QEMU's drivers of files as they are */
    bool has_backing;       /* what a new image leaves out is its backing file's */
    bool looks_behind;      /* it has something of that file's (an identifier), also where it is not read */
    bool has_compression;
    const struct target_option *options; /* in the order in which qemu-img prints them; ends without a name */
};

/* Fails with qemu-img's words for a format that nobody knows, or says that this one cannot be written. */
bool target_format_find(const char *name, const struct target_format **ret_format, struct error *error);

/* Whether `create` and `convert` take this option (-o) of new images of the format. */
bool target_format_has_option(const struct target_format *format, const char *name);

/* Whether all options are the format's, and their values of the right types. */
bool target_format_check(const struct target_format *format, const struct key_values *options, struct error *error);

/* The same for what of an image that exists can be changed. */
bool target_format_check_amended(const struct target_format *format, const struct key_values *options,
                                 bool *ret_is_for_creation, struct error *error);
/* Prints these options. */
void target_format_help_amended(const struct target_format *format);

/* Whether an image of the format is the disk itself: a new one can go to a pipe, and others may write to the file
 * meanwhile. */
bool target_format_is_raw(const struct target_format *format);

/* Whether such an image can be written to `path`: 'host_device' is a block device that is there. */
bool target_format_fits(const struct target_format *format, const char *path, struct error *error);

/* Options that are not about the image but about files: the guest is not told, or in other ways. */
bool target_option_is_hosts(const char *name);

/*
 * The option data_file: the job gets one more output, and `bytes` the name for the image. As in qemu-img, the file is
 * made where its name leads from the working directory, and looked for beside the image later.
 */
bool target_data_file_take(const struct key_values *options, struct job *job, pb_byte_t *bytes, size_t room,
                           pb_size_t *ret_len, struct error *error);

/*
 * Of an image that is a descriptor and a flat extent: the job gets the extent's file as one more output, called as QEMU
 * does ("x-flat.vmdk"), and `bytes` its name for the descriptor.
 */
bool target_extent_take(const struct target_format *format, const struct key_values *options, struct job *job,
                        pb_byte_t *bytes, size_t room, pb_size_t *ret_len, struct error *error);

/* Whether its data lies in files of its own as the disk has it. */
bool target_format_is_flat(const struct target_format *format, const struct key_values *options);

/* Whether the image has a file for every 2 GiB of its disk. */
bool target_format_is_split(const struct target_format *format, const struct key_values *options);

/* Of such an image, whose disk has disk_len bytes: the job gets all of them, called as QEMU does ("x-s001.vmdk"). */
bool target_parts_take(const struct target_format *format, const struct key_values *options, uint64_t disk_len,
                       struct job *job, struct error *error);

/* Into a job: the options that are hints about a new file, whose values have been checked but for their bounds. */
bool target_hints_take(const struct key_values *options, struct job *job, struct error *error);

/* Prints the options of a format (NULL: raw). `with_file`: also those of the file that an image is in. */
void target_format_help(const char *name, bool with_file, struct error *error);

/* " NAME=VALUE" for each option that is given or has a default, with values in one form. */
void target_format_print_values(FILE *stream, const struct target_format *format, const struct key_values *options);

#endif
