/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in files of 2 GiB. It arrives front to back, so one extent's writer is at work at a time, in memory that all
 * of them have one after the other: there may be two thousand. The descriptor, which makes an image of them, comes
 * last.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "guest/formats/vmdk/vmdk_writer.h"
#include "guest/image/image.h"

/* What a writer takes: requests of block_writer.h, two pages of table_writer.h, and less than that for itself. */
#define PART_MEMORY_LEN (512u << 10)

struct vmdk_split_writer {
    struct target target;      /* first; its file is the descriptor's */
    struct target_setup setup; /* of the disk; then, but for its memory, of each extent */
    struct image_environment environment;
    struct arena part_arena; /* as it is before a writer takes of it */
    struct arena arena;      /* of the writer at work */
    struct span descriptor;  /* arena memory */
    bool is_flat;
    bool has_zeroed_grains;
    uint32_t begun_count;   /* extents whose writer was made; the last one is at work */
    struct target *current; /* NULL: none is */
};

static struct vmdk_split_writer *split_writer_of(struct target *target)
{
    return (struct vmdk_split_writer *)target;
}

static uint64_t part_off(uint32_t part)
{
    return (uint64_t)part * VMDK_SPLIT_LEN;
}

/* Nothing of the current extent comes any more. What it has need not be on stable storage yet. */
static bool part_end(struct vmdk_split_writer *writer, struct error *error)
{
    struct target *current = writer->current;
    writer->current = NULL;
    return current == NULL || (target_settle(current, error) && current->operations->finish(current, false, error));
}

static bool part_begin(struct vmdk_split_writer *writer, struct error *error)
{
    uint32_t part = writer->begun_count;
    struct target_setup setup = writer->setup;
    struct vmdk_writer_setup part_setup = {.target = &setup, .has_zeroed_grains = writer->has_zeroed_grains};
    setup.environment = &writer->environment;
    setup.file = target_further_file(&writer->setup, part);
    setup.further_file_count = 0;
    setup.virtual_len = vmdk_split_part_len(writer->setup.virtual_len, part);
    writer->arena = writer->part_arena;
    memset((void *)(uintptr_t)writer->arena.next_gpa, 0, (size_t)arena_left(&writer->arena, 1));
    writer->begun_count++;
    return writer->is_flat ? vmdk_flat_extent_make(&setup, &writer->current, error)
                           : vmdk_sparse_writer_make(&part_setup, &writer->current, error);
}

/* Makes the extent at `voff` the current one. Those before are complete then. */
static bool part_select(struct vmdk_split_writer *writer, uint64_t voff, struct error *error)
{
    uint64_t part = voff / VMDK_SPLIT_LEN;
    if (part >= writer->setup.further_file_count || part + 1 < writer->begun_count) {
        return error_set(error, ERROR_GUEST, writer->target.file->name, "the disk does not come front to back");
    }
    while (writer->begun_count <= part) { /* ends: each round begins one */
        RETURN_IF_FAILED(part_end(writer, error) && part_begin(writer, error));
    }
    return true;
}

/* What of `len` bytes at `voff` is in the current extent, and where. */
static uint64_t part_of(const struct vmdk_split_writer *writer, uint64_t voff, uint64_t len, uint64_t *ret_voff)
{
    *ret_voff = voff - part_off(writer->begun_count - 1);
    return min_u64(len, writer->current->virtual_len - *ret_voff);
}

static bool split_write(struct target *target, struct target_write *write, uint64_t voff, const void *data,
                        uint64_t len, uint64_t *ret_len, struct error *error)
{
    struct vmdk_split_writer *writer = split_writer_of(target);
    RETURN_IF_FAILED(part_select(writer, voff, error));
    uint64_t own_voff;
    uint64_t own_len = part_of(writer, voff, len, &own_voff);
    return writer->current->operations->write(writer->current, write, own_voff, data, own_len, ret_len, error);
}

static bool split_copy(struct target *target, struct target_write *write, uint64_t voff, struct file *source,
                       uint64_t source_off, uint64_t len, uint32_t zero_len, uint64_t *ret_len, struct error *error)
{
    struct vmdk_split_writer *writer = split_writer_of(target);
    RETURN_IF_FAILED(part_select(writer, voff, error));
    uint64_t own_voff;
    uint64_t own_len = part_of(writer, voff, len, &own_voff);
    return writer->current->operations->copy(writer->current, write, own_voff, source, source_off, own_len, zero_len,
                                             ret_len, error);
}

static bool split_zero(struct target *target, uint64_t voff, uint64_t len, struct error *error)
{
    struct vmdk_split_writer *writer = split_writer_of(target);
    while (len > 0) { /* ends: each round goes on by what an extent has of it */
        RETURN_IF_FAILED(part_select(writer, voff, error));
        uint64_t own_voff;
        uint64_t own_len = part_of(writer, voff, len, &own_voff);
        RETURN_IF_FAILED(writer->current->operations->zero(writer->current, own_voff, own_len, error));
        voff += own_len;
        len -= own_len;
    }
    return true;
}

static bool finish_parts(struct vmdk_split_writer *writer, bool sync, struct error *error)
{
    while (writer->begun_count < writer->setup.further_file_count) { /* ends: each round begins one */
        RETURN_IF_FAILED(part_end(writer, error) && part_begin(writer, error));
    }
    RETURN_IF_FAILED(part_end(writer, error));
    for (uint32_t i = 0; sync && i < writer->setup.further_file_count; i++) {
        RETURN_IF_FAILED(target_flush_file(&writer->target, target_further_file(&writer->setup, i), error));
    }
    return true;
}

static bool split_finish(struct target *target, bool sync, struct error *error)
{
    struct vmdk_split_writer *writer = split_writer_of(target);
    return finish_parts(writer, sync, error) &&
           vmdk_write_descriptor(target, target->file, writer->descriptor, sync, error);
}

static const struct target_operations split_operations = {
    .write = split_write,
    .copy = split_copy,
    .zero = split_zero,
    .finish = split_finish,
};

static bool files_take_copies(const struct target_setup *setup)
{
    for (uint32_t i = 0; i < setup->further_file_count; i++) {
        if (!target_further_file(setup, i)->takes_copies) {
            return false;
        }
    }
    return true;
}

static bool memory_make(struct vmdk_split_writer *writer, const struct vmdk_writer_setup *setup)
{
    struct arena *arena = setup->target->environment->arena;
    void *memory = arena_allocate(arena, PART_MEMORY_LEN, VMDK_SECTOR_LEN);
    if (memory == NULL || !vmdk_keep_descriptor(arena, setup->descriptor, &writer->descriptor)) {
        return false;
    }
    arena_init(&writer->part_arena, (uint64_t)(uintptr_t)memory, PART_MEMORY_LEN);
    writer->environment = *setup->target->environment;
    writer->environment.arena = &writer->arena;
    return true;
}

bool vmdk_split_writer_make(const struct vmdk_writer_setup *setup, bool is_flat, struct target **ret_target,
                            struct error *error)
{
    const struct target_setup *target_setup = setup->target;
    struct file *file = target_setup->file;
    struct vmdk_split_writer *writer =
        arena_allocate(target_setup->environment->arena, sizeof(*writer), _Alignof(struct vmdk_split_writer));
    if (writer == NULL || !memory_make(writer, setup)) {
        return error_set(error, ERROR_LIMIT, file->name, "no memory is left for the image");
    }
    if (target_setup->further_file_count != vmdk_split_count(target_setup->virtual_len)) {
        return error_set(error, ERROR_USAGE, file->name, "the image has %u files, and not %llu, for its extents",
                         target_setup->further_file_count,
                         (unsigned long long)vmdk_split_count(target_setup->virtual_len));
    }
    bool has_backing = target_setup->backing_name.is_set;
    writer->target = (struct target){
        .operations = &split_operations,
        .file = file,
        .io = target_setup->environment->io,
        .virtual_len = target_setup->virtual_len,
        .unit_len = has_backing ? VMDK_NEW_GRAIN_LEN : VMDK_SECTOR_LEN,
        .zero_unit_len = is_flat ? 0 : VMDK_NEW_GRAIN_LEN,
        .has_backing = has_backing,
        .takes_copies = files_take_copies(target_setup),
        .has_compressed_kinds = true,
        .detects_zeros = is_flat,
    };
    writer->setup = *target_setup;
    writer->is_flat = is_flat;
    writer->has_zeroed_grains = setup->has_zeroed_grains;
    *ret_target = &writer->target;
    return true;
}

bool vmdk_split_make_files(const struct vmdk_writer_setup *setup, bool is_flat, struct error *error)
{
    struct target *target;
    return vmdk_split_writer_make(setup, is_flat, &target, error) && finish_parts(split_writer_of(target), true, error);
}

struct span vmdk_part_name(struct span image_name, bool is_flat, uint32_t number, char *text)
{
    const char *name = (const char *)image_name.data;
    size_t stem_len = image_name.len;
    for (size_t i = 0; i < image_name.len; i++) {
        stem_len = name[i] == '.' ? i : stem_len;
    }
    int len = snprintf(text, VMDK_PART_NAME_LEN_MAX, "%.*s-%c%03u%.*s", (int)stem_len, name, is_flat ? 'f' : 's',
                       number, (int)(image_name.len - stem_len), name + stem_len);
    return (struct span){(const uint8_t *)text, len > 0 ? (size_t)len : 0};
}
