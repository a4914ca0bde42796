/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/write/two_level_writer.h"

bool two_level_writer_make(struct two_level_writer *writer, struct block_writer *blocks,
                           const struct two_level_layout *layout, struct arena *arena, struct error *error)
{
    *writer = (struct two_level_writer){.blocks = blocks, .layout = *layout};
    struct target *target = &blocks->target;
    RETURN_IF_FAILED(table_writer_make(&writer->l1, target, arena, layout->word, 0, layout->l1_count, error) &&
                     table_writer_make(&writer->l2, target, arena, layout->word, 0, layout->l2_count, error));
    table_writer_begin(&writer->l1, layout->l1_off, 0, layout->l1_count);
    return true;
}

bool two_level_writer_select(struct two_level_writer *writer, uint64_t block, struct error *error)
{
    const struct two_level_layout *layout = &writer->layout;
    uint64_t index = block / layout->l2_count;
    uint64_t off;
    if (writer->has_l2 && writer->l2_index == index) {
        return true;
    }
    RETURN_IF_FAILED(!writer->has_l2 || table_writer_end(&writer->l2, error));
    RETURN_IF_FAILED(block_writer_append(writer->blocks, layout->l2_count * block_table_word_len(layout->word),
                                         layout->alignment, true, &off, error));
    table_writer_begin(&writer->l2, off, 0, layout->l2_count);
    writer->has_l2 = true;
    writer->l2_index = index;
    return table_writer_set(&writer->l1, index, off, error);
}

bool two_level_writer_set(struct two_level_writer *writer, uint64_t block, uint64_t entry, struct error *error)
{
    return table_writer_set(&writer->l2, block % writer->layout.l2_count, entry, error);
}

bool two_level_writer_end(struct two_level_writer *writer, struct error *error)
{
    return (!writer->has_l2 || table_writer_end(&writer->l2, error)) && table_writer_end(&writer->l1, error);
}
