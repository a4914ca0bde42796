/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/vmdk/vmdk_writer.h"
#include "guest/image/write/block_writer.h"

struct vmdk_flat_writer {
    struct block_writer blocks; /* first; of the extent's file */
    struct file *descriptor_file;
    struct span descriptor; /* arena memory */
};

static bool flat_end(struct block_writer *blocks, struct error *error)
{
    (void)blocks;
    (void)error;
    return true;
}

static const struct block_writer_format flat_format = {
    .end_tables = flat_end,
    .write_header = flat_end,
};

bool vmdk_keep_descriptor(struct arena *arena, struct span descriptor, struct span *ret_descriptor)
{
    uint8_t *text = arena_allocate(arena, round_up(max_u64(descriptor.len, 1), VMDK_SECTOR_LEN), VMDK_SECTOR_LEN);
    if (text == NULL) {
        return false;
    }
    memcpy(text, descriptor.data, descriptor.len);
    *ret_descriptor = (struct span){text, descriptor.len};
    return true;
}

bool vmdk_write_descriptor(struct target *target, struct file *file, struct span descriptor, bool sync,
                           struct error *error)
{
    if (file->is_resizable) {
        RETURN_IF_FAILED(target_set_len(target, file, descriptor.len, error));
    } else if (file->len < descriptor.len) {
        return error_set(error, ERROR_NO_SPACE, file->name, "the descriptor does not fit: it has %zu bytes",
                         descriptor.len);
    }
    struct io_request request = target_own_request(target);
    io_write(target->io, &request, file, 0, descriptor.data, descriptor.len);
    RETURN_IF_FAILED(target_settle(target, error));
    return !sync || target_flush_file(target, file, error);
}

/* The descriptor comes last: it makes an image of the extent. */
static bool flat_finish(struct target *target, bool sync, struct error *error)
{
    const struct vmdk_flat_writer *writer = (const struct vmdk_flat_writer *)target;
    return block_writer_finish(target, sync, error) &&
           vmdk_write_descriptor(target, writer->descriptor_file, writer->descriptor, sync, error);
}

static bool extent_begin(struct block_writer *blocks, const struct target_setup *setup, struct error *error)
{
    struct block_writer_layout layout = {
        .format = &flat_format,
        .block_len = VMDK_NEW_GRAIN_LEN,
        .is_flat = true,
        .flat_len = setup->virtual_len,
    };
    return block_writer_make(blocks, setup, &layout, error);
}

bool vmdk_flat_extent_make(const struct target_setup *setup, struct target **ret_target, struct error *error)
{
    struct block_writer *blocks =
        arena_allocate(setup->environment->arena, sizeof(*blocks), _Alignof(struct block_writer));
    if (blocks == NULL) {
        return error_set(error, ERROR_LIMIT, setup->file->name, "no memory is left for the image");
    }
    RETURN_IF_FAILED(extent_begin(blocks, setup, error));
    *ret_target = &blocks->target;
    return true;
}

bool vmdk_flat_writer_make(const struct vmdk_writer_setup *setup, struct target **ret_target, struct error *error)
{
    static struct target_operations operations;
    struct arena *arena = setup->target->environment->arena;
    struct target_setup extent_setup = *setup->target;
    struct vmdk_flat_writer *writer = arena_allocate(arena, sizeof(*writer), _Alignof(struct vmdk_flat_writer));
    if (writer == NULL || !vmdk_keep_descriptor(arena, setup->descriptor, &writer->descriptor)) {
        return error_set(error, ERROR_LIMIT, setup->target->file->name, "no memory is left for the image");
    }
    if (setup->target->further_file_count == 0) {
        return error_set(error, ERROR_USAGE, setup->target->file->name, "the image has no file for its extent");
    }
    extent_setup.file = target_further_file(setup->target, 0);
    RETURN_IF_FAILED(extent_begin(&writer->blocks, &extent_setup, error));
    writer->descriptor_file = setup->target->file;
    operations = block_writer_operations;
    operations.finish = flat_finish;
    writer->blocks.target.operations = &operations;
    writer->blocks.target.has_compressed_kinds = true;
    *ret_target = &writer->blocks.target;
    return true;
}
