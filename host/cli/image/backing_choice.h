/* SPDX-License-Identifier: Apache-2.0 */
/* The backing file of a new image, as create and convert take it: by letters or by -o. */
#ifndef INSTAR_HOST_CLI_IMAGE_BACKING_CHOICE_H
#define INSTAR_HOST_CLI_IMAGE_BACKING_CHOICE_H

#include <pb.h>
#include <stdbool.h>

#include "base/error.h"
#include "host/cli/image/target_formats.h"
#include "host/cli/image/values/key_values.h"

/* Starts with what the letters say; NULL: nothing. */
struct backing_choice {
    const char *file;
    const char *format;
};

/*
 * Fills in what only `options` say, and adds to these what only the letters say: letters win. Fails for a format of
 * images that have no backing file.
 */
bool backing_choice_complete(struct backing_choice *choice, const struct target_format *format,
                             struct key_values *options, struct error *error);

/* Into a message: the name's bytes, for which there is `room`, and the format, as text in `format_room` bytes. */
bool backing_choice_encode(const struct backing_choice *choice, pb_byte_t *bytes, size_t room, pb_size_t *ret_len,
                           char *format, size_t format_room, struct error *error);

#endif
