/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/write/qcow2_options.h"

#include <string.h>

#include "base/checked.h"
#include "guest/image/option_values.h"

static uint32_t exact_log2(uint64_t power)
{
    return (uint32_t)__builtin_ctzll(power);
}

bool qcow2_option_cluster_bits(const instar_FormatOption *option, uint32_t *ret_bits, struct error *error)
{
    uint64_t len;
    RETURN_IF_FAILED(option_size(option, &len, error));
    if (!is_power_of_two(len) || len < 1ull << QCOW2_CLUSTER_BITS_MIN || len > 1ull << QCOW2_CLUSTER_BITS_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "Cluster size must be a power of two between %u and %uk",
                         1u << QCOW2_CLUSTER_BITS_MIN, 1u << (QCOW2_CLUSTER_BITS_MAX - 10));
    }
    *ret_bits = exact_log2(len);
    return true;
}

bool qcow2_option_refcount_order(const instar_FormatOption *option, uint32_t *ret_order, struct error *error)
{
    uint64_t bits;
    RETURN_IF_FAILED(option_number(option, &bits, error));
    if (!is_power_of_two(bits) || bits > 64) {
        return error_set(error, ERROR_USAGE, NULL, "Refcount width must be a power of two and may not exceed 64 bits");
    }
    *ret_order = exact_log2(bits);
    return true;
}

static bool take_cluster_size(const instar_FormatOption *option, struct qcow2_options *options, struct error *error)
{
    return qcow2_option_cluster_bits(option, &options->cluster_bits, error);
}

static bool take_compat(const instar_FormatOption *option, struct qcow2_options *options, struct error *error)
{
    static const char *const values[] = {"0.10", "v2", "1.1", "v3", NULL};
    uint32_t index;
    RETURN_IF_FAILED(option_choice(option, values, "version", &index, error));
    options->version = index < 2 ? 2 : 3;
    return true;
}

static bool take_compression_type(const instar_FormatOption *option, struct qcow2_options *options, struct error *error)
{
    static const char *const values[] = {"zlib", "zstd", NULL};
    uint32_t index;
    RETURN_IF_FAILED(option_choice(option, values, "compression-type", &index, error));
    options->compression = index == 0 ? QCOW2_COMPRESSION_DEFLATE : QCOW2_COMPRESSION_ZSTD;
    return true;
}

static bool take_data_file_raw(const instar_FormatOption *option, struct qcow2_options *options, struct error *error)
{
    return option_flag(option, &options->is_data_file_raw, error);
}

static bool take_extended_l2(const instar_FormatOption *option, struct qcow2_options *options, struct error *error)
{
    return option_flag(option, &options->has_extended_l2, error);
}

static bool take_lazy_refcounts(const instar_FormatOption *option, struct qcow2_options *options, struct error *error)
{
    return option_flag(option, &options->has_lazy_refcounts, error);
}

static bool take_preallocation(const instar_FormatOption *option, struct qcow2_options *options, struct error *error)
{
    static const char *const values[] = {"off", "metadata", "falloc", "full", NULL};
    uint32_t index;
    RETURN_IF_FAILED(option_choice(option, values, "preallocation", &index, error));
    options->preallocation = (enum qcow2_preallocation)index;
    return true;
}

static bool take_refcount_bits(const instar_FormatOption *option, struct qcow2_options *options, struct error *error)
{
    return qcow2_option_refcount_order(option, &options->refcount_order, error);
}

static bool take_encryption_format(const instar_FormatOption *option, struct qcow2_options *options,
                                   struct error *error)
{
    static const char *const values[] = {"aes", "luks", NULL};
    uint32_t index;
    RETURN_IF_FAILED(option_choice(option, values, "format", &index, error));
    if (index == 0) {
        return error_set(
            error, ERROR_UNSUPPORTED, NULL,
            "images that are encrypted by 'aes', which is not safe, are not made: use encrypt.format=luks");
    }
    options->is_encrypted = true;
    return true;
}

static bool take_encryption(const instar_FormatOption *option, struct qcow2_options *options, struct error *error)
{
    bool is_on;
    (void)options;
    RETURN_IF_FAILED(option_flag(option, &is_on, error));
    return !is_on || error_set(error, ERROR_UNSUPPORTED, NULL,
                               "images that are encrypted by 'aes', which is not safe, are not made: use "
                               "encrypt.format=luks");
}

static const struct {
    const char *name;
    bool (*take)(const instar_FormatOption *option, struct qcow2_options *options, struct error *error);
} known_options[] = {
    {"cluster_size", take_cluster_size},         {"compat", take_compat},
    {"compression_type", take_compression_type}, {"data_file_raw", take_data_file_raw},
    {"encrypt.format", take_encryption_format},  {"encryption", take_encryption},
    {"extended_l2", take_extended_l2},           {"lazy_refcounts", take_lazy_refcounts},
    {"preallocation", take_preallocation},       {"refcount_bits", take_refcount_bits},
};

static bool option_take(const instar_FormatOption *option, struct qcow2_options *options, struct error *error)
{
    for (size_t i = 0; i < ARRAY_COUNT(known_options); i++) {
        if (strcmp(option->name, known_options[i].name) == 0) {
            return known_options[i].take(option, options, error);
        }
    }
    if (strncmp(option->name, "encrypt.", strlen("encrypt.")) == 0) {
        return true; /* of LUKS */
    }
    return option_unknown(option, error);
}

/* What only version 3 has; in the order in which QEMU looks. */
static bool version_check(const struct qcow2_options *options, bool has_data_file, struct error *error)
{
    if (options->version >= 3) {
        return true;
    }
    const char *what = NULL;
    if (options->has_lazy_refcounts) {
        what = "Lazy refcounts only supported with compatibility level 1.1 and above";
    } else if (options->refcount_order != QCOW2_REFCOUNT_ORDER_DEFAULT) {
        what = "Different refcount widths than 16 bits require compatibility level 1.1 or above";
    } else if (has_data_file) {
        what = "External data files are only supported with compatibility level 1.1 and above";
    } else if (options->compression != QCOW2_COMPRESSION_DEFLATE) {
        what = "Non-zlib compression type is only supported with compatibility level 1.1 and above";
    } else if (options->has_extended_l2) {
        what = "Extended L2 entries are only supported with compatibility level 1.1 and above";
    }
    return what == NULL || error_set(error, ERROR_USAGE, NULL, "%s (use version=v3 or greater)", what);
}

static bool has_encryption_option(const instar_FormatOption *options, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strncmp(options[i].name, "encrypt.", strlen("encrypt.")) == 0) {
            return true;
        }
    }
    return false;
}

bool qcow2_options_parse(const instar_FormatOption *options, uint32_t count, bool has_data_file,
                         struct qcow2_options *ret_options, struct error *error)
{
    struct qcow2_options parsed = {
        .version = 3,
        .cluster_bits = QCOW2_CLUSTER_BITS_DEFAULT,
        .refcount_order = QCOW2_REFCOUNT_ORDER_DEFAULT,
    };
    for (uint32_t i = 0; i < count; i++) {
        RETURN_IF_FAILED(option_take(&options[i], &parsed, error));
    }
    if (!parsed.is_encrypted && has_encryption_option(options, count)) {
        return error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL, "Parameter 'encrypt.format' is missing");
    }
    if (parsed.has_extended_l2 && parsed.version >= 3 && parsed.cluster_bits < QCOW2_EXTENDED_L2_CLUSTER_BITS_MIN) {
        return error_set(error, ERROR_USAGE, NULL,
                         "Extended L2 entries are only supported with cluster sizes of at least %u bytes",
                         1u << QCOW2_EXTENDED_L2_CLUSTER_BITS_MIN);
    }
    RETURN_IF_FAILED(version_check(&parsed, has_data_file, error));
    if (parsed.is_data_file_raw && !has_data_file) {
        return error_set(error, ERROR_USAGE, NULL, "data-file-raw requires data-file");
    }
    if (parsed.is_data_file_raw && parsed.preallocation == QCOW2_PREALLOCATION_OFF) {
        parsed.preallocation = QCOW2_PREALLOCATION_METADATA; /* the tables agree with the file at all times */
    }
    *ret_options = parsed;
    return true;
}
