/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vmdk/vmdk_description.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The geometry that old systems see. */
#define TRACK_SECTORS 63u
#define HEADS_IDE 16u
#define HEADS_OTHERS 255u

__attribute__((format(printf, 2, 3))) static void add(struct vmdk_description *description, const char *format, ...)
{
    va_list arguments;
    size_t left = description->room - description->len;
    va_start(arguments, format);
    int len = vsnprintf(description->text + description->len, left, format, arguments);
    va_end(arguments);
    if (len < 0 || (size_t)len >= left) {
        description->is_cut = true;
        return;
    }
    description->len += (size_t)len;
}

bool vmdk_name_is_quotable(struct span name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] == '"' || name.data[i] == '\n' || name.data[i] == '\r' || name.data[i] == '\0') {
            return false;
        }
    }
    return name.len > 0;
}

void vmdk_description_begin(struct vmdk_description *description, uint32_t cid, uint32_t parent_cid,
                            enum vmdk_subformat subformat, const struct file_name *parent)
{
    add(description,
        "# Disk DescriptorFile\n"
        "version=1\n"
        "CID=%x\n"
        "parentCID=%x\n"
        "createType=\"%s\"\n",
        cid, parent_cid, vmdk_subformat_name(subformat));
    if (parent->is_set) {
        add(description, "parentFileNameHint=\"%.*s\"", (int)parent->len, (const char *)parent->bytes);
    }
    add(description, "\n# Extent description\n");
}

void vmdk_description_add(struct vmdk_description *description, uint64_t sectors, enum vmdk_extent_type type,
                          struct span name)
{
    add(description, "RW %llu %s \"%.*s\"%s\n", (unsigned long long)sectors, vmdk_extent_type_name(type), (int)name.len,
        (const char *)name.data, type == VMDK_EXTENT_FLAT ? " 0" : "");
}

bool vmdk_description_end(struct vmdk_description *description, uint64_t disk_sectors,
                          const struct vmdk_options *options, struct error *error)
{
    uint32_t heads = strcmp(options->adapter_type, "ide") == 0 ? HEADS_IDE : HEADS_OTHERS;
    add(description,
        "\n# The Disk Data Base\n"
        "#DDB\n"
        "\n"
        "ddb.virtualHWVersion = \"%s\"\n"
        "ddb.geometry.cylinders = \"%llu\"\n"
        "ddb.geometry.heads = \"%u\"\n"
        "ddb.geometry.sectors = \"%u\"\n"
        "ddb.adapterType = \"%s\"\n"
        "ddb.toolsVersion = \"%s\"\n",
        options->hw_version, (unsigned long long)(disk_sectors / ((uint64_t)heads * TRACK_SECTORS)), heads,
        TRACK_SECTORS, options->adapter_type, options->tools_version);
    return !description->is_cut ||
           error_set(error, ERROR_USAGE, NULL, "the descriptor gets longer than %zu bytes", description->room);
}
