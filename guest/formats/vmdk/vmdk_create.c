/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vmdk/vmdk_create.h"

#include <stdio.h>
#include <string.h>

#include "base/endian.h"
#include "guest/formats/vmdk/vmdk.h"
#include "guest/formats/vmdk/vmdk_description.h"
#include "guest/formats/vmdk/vmdk_options.h"
#include "guest/formats/vmdk/vmdk_sparse_header.h"
#include "guest/formats/vmdk/vmdk_writer.h"

/* The parent's CID where there is no parent. */
#define CID_NONE UINT32_MAX

/* What an image is refused by that is not the one it was made for (vmdk_accepts_backing). */
static bool find_parent_cid(const struct target_setup *setup, uint32_t *ret_cid, struct error *error)
{
    const struct file_name *name = &setup->backing_name;
    *ret_cid = CID_NONE;
    if (!name->is_set) {
        return setup->backing_format[0] == '\0' || strcmp(setup->backing_format, "vmdk") == 0 ||
               error_set(error, ERROR_USAGE, NULL, "backing_file must be a vmdk image");
    }
    if (setup->backing == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "an image has its parent's CID: the backing file has to be there");
    }
    if (setup->backing->format != &vmdk_format) {
        return error_set(error, ERROR_USAGE, NULL, "backing_file must be a vmdk image");
    }
    *ret_cid = vmdk_of(setup->backing)->cid;
    return vmdk_name_is_quotable((struct span){name->bytes, name->len}) ||
           error_set(error, ERROR_USAGE, NULL, "the backing file's name cannot stand in a descriptor");
}

static uint32_t new_cid(const struct target_setup *setup)
{
    struct le32 random;
    memcpy(&random, setup->identity->random, sizeof(random));
    return le32_get(random);
}

static void describe_parts(const struct target_setup *setup, bool is_flat, struct vmdk_description *description)
{
    const instar_ImageIdentity *identity = setup->identity;
    struct span name = {identity->name.bytes, identity->name.size};
    uint64_t count = vmdk_split_count(setup->virtual_len);
    for (uint32_t i = 0; i < count; i++) {
        char text[VMDK_PART_NAME_LEN_MAX];
        vmdk_description_add(description, vmdk_split_part_len(setup->virtual_len, i) / VMDK_SECTOR_LEN,
                             is_flat ? VMDK_EXTENT_FLAT : VMDK_EXTENT_SPARSE,
                             vmdk_part_name(name, is_flat, i + 1, text));
    }
}

static void describe_one(const struct target_setup *setup, bool is_flat, struct span name,
                         struct vmdk_description *description)
{
    uint64_t sectors = setup->virtual_len / VMDK_SECTOR_LEN;
    if (!is_flat || sectors > 0) {
        vmdk_description_add(description, sectors, is_flat ? VMDK_EXTENT_FLAT : VMDK_EXTENT_SPARSE, name);
    }
}

/* Bytes of the longest line of an extent, but for its name. */
#define EXTENT_LINE_LEN_MAX 48u

/* Memory for the text: where it is within an extent, there is a place of this length for it. */
static bool room_make(const struct target_setup *setup, const struct vmdk_options *options,
                      struct vmdk_description *ret_description, struct error *error)
{
    uint64_t room = (uint64_t)VMDK_DESCRIPTOR_SECTORS * VMDK_SECTOR_LEN;
    if (vmdk_subformat_is_split(options->subformat)) {
        room += vmdk_split_count(setup->virtual_len) * (VMDK_PART_NAME_LEN_MAX + EXTENT_LINE_LEN_MAX);
        room = min_u64(room, VMDK_DESCRIPTOR_LEN_MAX);
    }
    char *text = arena_allocate(setup->environment->arena, room, 1);
    if (text == NULL) {
        return error_set(error, ERROR_LIMIT, setup->file->name, "no memory is left for the image's descriptor");
    }
    *ret_description = (struct vmdk_description){.text = text, .room = (size_t)room};
    return true;
}

static bool describe(const struct target_setup *setup, const struct vmdk_options *options, struct span *ret_descriptor,
                     struct error *error)
{
    const instar_ImageIdentity *identity = setup->identity;
    bool is_flat = vmdk_subformat_is_flat(options->subformat);
    bool is_split = vmdk_subformat_is_split(options->subformat);
    struct span name = is_flat && !is_split ? (struct span){setup->data_name.bytes, setup->data_name.len}
                                            : (struct span){identity->name.bytes, identity->name.size};
    struct vmdk_description description;
    uint32_t parent_cid;
    RETURN_IF_FAILED(find_parent_cid(setup, &parent_cid, error) && room_make(setup, options, &description, error));
    if (!vmdk_name_is_quotable(name)) {
        return error_set(error, ERROR_USAGE, NULL, "the file's name cannot stand in a descriptor");
    }
    vmdk_description_begin(&description, new_cid(setup), parent_cid, options->subformat, &setup->backing_name);
    if (is_split) {
        describe_parts(setup, is_flat, &description);
    } else {
        describe_one(setup, is_flat, name, &description);
    }
    RETURN_IF_FAILED(vmdk_description_end(&description, setup->virtual_len / VMDK_SECTOR_LEN, options, error));
    *ret_descriptor = (struct span){(const uint8_t *)description.text, description.len};
    return true;
}

bool vmdk_create(const struct target_setup *setup, struct target **ret_target, struct error *error)
{
    struct vmdk_options options;
    struct vmdk_writer_setup writer_setup = {.target = setup};
    RETURN_IF_FAILED(vmdk_options_parse(setup, &options, error));
    if (setup->virtual_len == 0 && !setup->is_for_create) {
        /* A capacity of 0 stands for a file that has a descriptor only. QEMU fails likewise, when it opens what it
         * made. */
        return error_set(error, ERROR_USAGE, NULL,
                         "Unsupported image type '%s': no vmdk image of an empty disk can be opened",
                         vmdk_subformat_name(options.subformat));
    }
    if (vmdk_subformat_is_split(options.subformat) && vmdk_split_count(setup->virtual_len) > VMDK_SPLIT_COUNT_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "an image in files of 2 GiB has %u of them at most",
                         VMDK_SPLIT_COUNT_MAX);
    }
    writer_setup.has_zeroed_grains = options.has_zeroed_grains;
    RETURN_IF_FAILED(describe(setup, &options, &writer_setup.descriptor, error));
    switch (options.subformat) {
    case VMDK_STREAM_OPTIMIZED:
        return vmdk_stream_writer_make(&writer_setup, ret_target, error);
    case VMDK_MONOLITHIC_FLAT:
        return vmdk_flat_writer_make(&writer_setup, ret_target, error);
    case VMDK_TWO_GB_SPARSE:
    case VMDK_TWO_GB_FLAT:
        return vmdk_split_writer_make(&writer_setup, vmdk_subformat_is_flat(options.subformat), ret_target, error);
    case VMDK_MONOLITHIC_SPARSE:
    default:
        return vmdk_sparse_writer_make(&writer_setup, ret_target, error);
    }
}
