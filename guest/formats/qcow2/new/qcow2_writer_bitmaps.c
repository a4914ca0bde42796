/* SPDX-License-Identifier: Apache-2.0 */
/* Where bitmaps of a new image go to (qcow2_bitmap_copy.h). */
#include "base/checked.h"
#include "base/units.h"
#include "guest/formats/qcow2/new/qcow2_writer.h"

static bool allocate(struct target *target, uint64_t count, uint64_t *ret_off, struct error *error)
{
    return qcow2_writer_allocate_piece(qcow2_writer_of(target), count, ret_off, error);
}

static bool write(struct target *target, uint64_t off, const uint8_t *cluster, uint32_t len, struct error *error)
{
    struct qcow2_writer *writer = qcow2_writer_of(target);
    len = target->file->reads_as_zero ? (uint32_t)round_up(len, SECTOR_LEN) : writer->cluster_len;
    return qcow2_writer_grow_to(writer, off + writer->cluster_len, error) &&
           qcow2_writer_table(writer, off, cluster, len, error);
}

bool qcow2_writer_begin_bitmaps(struct target *target, struct image *source, struct error *error)
{
    struct qcow2_writer *writer = qcow2_writer_of(target);
    if (writer->options.version < 3) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Format driver 'qcow2' does not support bitmaps");
    }
    writer->bitmaps = (struct qcow2_bitmap_copy){
        .store = {.target = target, .cluster_len = writer->cluster_len, .allocate = allocate, .write = write},
    };
    RETURN_IF_FAILED(qcow2_bitmap_copy_begin(&writer->bitmaps, source, writer->arena, error));
    return qcow2_allocator_expect(&writer->allocator, writer->bitmaps.cluster_count, writer->arena) ||
           error_set(error, ERROR_UNSUPPORTED, target->file->name, "the image has too many clusters");
}

bool qcow2_writer_add_bitmaps(struct target *target, struct image *source, struct error *error)
{
    struct qcow2_writer *writer = qcow2_writer_of(target);
    return qcow2_pack_close(writer, error) && qcow2_bitmap_copy_run(&writer->bitmaps, source, error);
}
