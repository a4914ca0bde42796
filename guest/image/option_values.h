/* SPDX-License-Identifier: Apache-2.0 */
/* Values of options of formats (-o name=value), for all formats; refused with QEMU's words. */
#ifndef INSTAR_GUEST_IMAGE_OPTION_VALUES_H
#define INSTAR_GUEST_IMAGE_OPTION_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/option_tables.h"
#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/file.h"
#include "messages.pb.h"

MUST_CHECK bool option_size(const instar_FormatOption *option, uint64_t *ret_len, struct error *error);
MUST_CHECK bool option_number(const instar_FormatOption *option, uint64_t *ret_number, struct error *error);
MUST_CHECK bool option_flag(const instar_FormatOption *option, bool *ret_flag, struct error *error);

/*
 * Sets *ret_index to the place of the value in `values`, which ends with NULL. `shown_name` is what QEMU calls the
 * option in its error.
 */
MUST_CHECK bool option_choice(const instar_FormatOption *option, const char *const *values, const char *shown_name,
                              uint32_t *ret_index, struct error *error);

/*
 * `preallocation` where it is about the file around the image, which has no length yet: nothing comes of it. What is no
 * file, but a device, is refused then, as by QEMU. `file` NULL: the caller does what is asked for.
 */
MUST_CHECK bool options_check_file_preallocation(const instar_FormatOption *options, uint32_t count,
                                                 const struct file *file, struct error *error);

/* For an option that the format does not have. */
bool option_unknown(const instar_FormatOption *option, struct error *error);

struct option_description {
    const char *name;
    enum option_type type;
    enum option_stage stage;
};

/* clang-format off */
#define OPTION_DESCRIPTION(name, type, stage, default_text, help) {name, OPTION_##type, OPTION_STAGE_##stage},
/* The initializer of descriptions, of one of the tables of abi/option_tables.h. */
#define OPTION_DESCRIPTIONS(format) {format(OPTION_DESCRIPTION){NULL, OPTION_TEXT, OPTION_STAGE_NEW}}
/* clang-format on */

/*
 * Whether all options are some of new images in `descriptions`, which ends with one without a name, and have values of
 * their types.
 */
MUST_CHECK bool options_check(const instar_FormatOption *options, uint32_t count,
                              const struct option_description *descriptions, struct error *error);

/* The option of this name, the last one of several; NULL when it is not there. */
const instar_FormatOption *options_find(const instar_FormatOption *options, uint32_t count, const char *name);

#endif
