/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vmdk/vmdk_options.h"

#include <string.h>

#include "guest/image/option_values.h"

/* What an option says that is as good as none. */
#define HW_VERSION_UNDEFINED "undefined"

static const char *const subformat_names[] = {
    [VMDK_MONOLITHIC_SPARSE] = "monolithicSparse", [VMDK_MONOLITHIC_FLAT] = "monolithicFlat",
    [VMDK_TWO_GB_SPARSE] = "twoGbMaxExtentSparse", [VMDK_TWO_GB_FLAT] = "twoGbMaxExtentFlat",
    [VMDK_STREAM_OPTIMIZED] = "streamOptimized",   NULL,
};

const char *vmdk_subformat_name(enum vmdk_subformat subformat)
{
    return subformat_names[subformat];
}

bool vmdk_subformat_is_flat(enum vmdk_subformat subformat)
{
    return subformat == VMDK_MONOLITHIC_FLAT || subformat == VMDK_TWO_GB_FLAT;
}

bool vmdk_subformat_is_split(enum vmdk_subformat subformat)
{
    return subformat == VMDK_TWO_GB_SPARSE || subformat == VMDK_TWO_GB_FLAT;
}

/* As it must not stand in quotation marks. */
static bool is_quotable(const char *text)
{
    return strpbrk(text, "\"\r\n") == NULL;
}

/* The option's value; `otherwise` when it is not there. */
static const char *find_text(const struct target_setup *setup, const char *name, const char *otherwise)
{
    const instar_FormatOption *option = options_find(setup->options, setup->option_count, name);
    return option != NULL ? option->value : otherwise;
}

static bool find_flag(const struct target_setup *setup, const char *name, bool *ret_flag, struct error *error)
{
    const instar_FormatOption *option = options_find(setup->options, setup->option_count, name);
    *ret_flag = false;
    return option == NULL || option_flag(option, ret_flag, error);
}

/* The place in `names`, which ends with NULL. */
static bool find_word(const struct target_setup *setup, const char *option, const char *const *names,
                      uint32_t *ret_index, struct error *error)
{
    const char *word = find_text(setup, option, names[0]);
    for (uint32_t i = 0; names[i] != NULL; i++) {
        if (strcmp(word, names[i]) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return error_set(error, ERROR_USAGE, NULL, "invalid parameter value: %s", word);
}

static bool check_flat(const struct target_setup *setup, const struct vmdk_options *options, struct error *error)
{
    if (!vmdk_subformat_is_flat(options->subformat)) {
        return true;
    }
    if (setup->backing_name.is_set) {
        return error_set(error, ERROR_USAGE, NULL, "Flat image can't have backing file");
    }
    return !options->has_zeroed_grains || error_set(error, ERROR_USAGE, NULL, "Flat image can't enable zeroed grain");
}

bool vmdk_options_parse(const struct target_setup *setup, struct vmdk_options *ret_options, struct error *error)
{
    static const struct option_description descriptions[] = OPTION_DESCRIPTIONS(FORMAT_OPTIONS_VMDK);
    static const char *const adapters[] = {"ide", "buslogic", "lsilogic", "legacyESX", NULL};
    struct vmdk_options options = {0};
    uint32_t adapter, subformat;
    bool is_compat6;
    RETURN_IF_FAILED(options_check(setup->options, setup->option_count, descriptions, error));
    options.hw_version = find_text(setup, "hwversion", HW_VERSION_UNDEFINED);
    options.tools_version = find_text(setup, "toolsversion", "2147483647");
    RETURN_IF_FAILED(find_flag(setup, "compat6", &is_compat6, error) &&
                     find_flag(setup, "zeroed_grain", &options.has_zeroed_grains, error));
    bool is_undefined = strcmp(options.hw_version, HW_VERSION_UNDEFINED) == 0;
    if (is_compat6 && !is_undefined) {
        return error_set(error, ERROR_USAGE, NULL, "compat6 cannot be enabled with hwversion set");
    }
    if (is_undefined) {
        options.hw_version = is_compat6 ? "6" : "4";
    }
    RETURN_IF_FAILED(find_word(setup, "adapter_type", adapters, &adapter, error) &&
                     find_word(setup, "subformat", subformat_names, &subformat, error) &&
                     options_check_file_preallocation(setup->options, setup->option_count, setup->file, error));
    options.adapter_type = adapters[adapter];
    options.subformat = (enum vmdk_subformat)subformat;
    if (!is_quotable(options.hw_version) || !is_quotable(options.tools_version)) {
        return error_set(error, ERROR_USAGE, NULL, "a version with a quotation mark cannot stand in a descriptor");
    }
    RETURN_IF_FAILED(check_flat(setup, &options, error));
    *ret_options = options;
    return true;
}
