/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a target format, as with -o, and the choice of a snapshot, as with -l: what measure and convert share. */
#ifndef INSTAR_HOST_CLI_IMAGE_FORMAT_OPTIONS_H
#define INSTAR_HOST_CLI_IMAGE_FORMAT_OPTIONS_H

#include <stdbool.h>

#include "base/error.h"
#include "host/cli/image/values/key_values.h"
#include "messages.pb.h"

/* Adds the options of one -o; there may be several. */
bool format_options_take(struct key_values *options, const char *text, struct error *error);

/* Whether a list is to be shown instead: "help" or "?". */
bool format_options_ask_help(const struct key_values *options);

#define FORMAT_OPTIONS_MAX 16u
/* Into a message: `target` has room for FORMAT_OPTIONS_MAX. Without those of target_option_is_hosts if `for_guest`. */
bool format_options_encode(const struct key_values *options, bool for_guest, instar_FormatOption *target,
                           pb_size_t *ret_count, struct error *error);

/* "NAME", or "snapshot.id=ID,snapshot.name=NAME". */
bool snapshot_choice_parse(const char *text, instar_SnapshotChoice *ret_choice, struct error *error);

#endif
