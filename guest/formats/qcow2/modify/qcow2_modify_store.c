/* SPDX-License-Identifier: Apache-2.0 */
/* How a modified image's file is reached: metadata is written through the cache, one write after the other. */
#include <string.h>

#include "base/checked.h"
#include "base/units.h"
#include "guest/formats/qcow2/modify/qcow2_modify.h"

/* How the file grows (target_grow_to), bytes. */
#define GROWTH_LEN_MIN (4ull << 20)
#define GROWTH_LEN_MAX (4ull << 30)
/* Of one zeroing. */
#define ZEROING_LEN_MAX (1ull << 30)

bool qcow2_modify_flush(struct qcow2_modify *modify, struct error *error)
{
    if (modify->is_data_unsafe) {
        RETURN_IF_FAILED(target_flush_file(&modify->target, modify->data, error));
        modify->is_data_unsafe = false;
    }
    return target_flush_file(&modify->target, modify->target.file, error);
}

bool qcow2_modify_grow_to(struct qcow2_modify *modify, uint64_t end_off, struct error *error)
{
    struct file *file = modify->target.file;
    /*
     * What the file is longer than it must be, a job that is refused in the end leaves. Where there are clusters
     * without a counter that can be read, each one is another thing that is wrong with the image.
     */
    if (modify->has_odd_blocks && end_off > file->len && file->is_resizable) {
        return target_set_len(&modify->target, file, end_off, error);
    }
    return target_grow_to(&modify->target, end_off, GROWTH_LEN_MIN, GROWTH_LEN_MAX, error);
}

bool qcow2_modify_set_data_len(struct qcow2_modify *modify, uint64_t len, struct error *error)
{
    modify->is_data_unsafe = true;
    return target_set_len(&modify->target, modify->data, len, error);
}

/* The same for bytes that are written: they stay when the file is cut to what it needs. */
static bool reach_to_write(struct qcow2_modify *modify, uint64_t end_off, struct error *error)
{
    struct file *file = modify->target.file;
    modify->kept_len = max_u64(modify->kept_len, end_off);
    /* The rest of the last cluster is no growth: where the job is refused next, the image must not be longer. */
    bool is_rest = end_off > file->len && end_off <= round_up(file->len, modify->cluster_len) && file->is_resizable;
    return is_rest ? target_set_len(&modify->target, file, end_off, error)
                   : qcow2_modify_grow_to(modify, end_off, error);
}

bool qcow2_modify_grow_data_to(struct qcow2_modify *modify, uint64_t end_off, struct error *error)
{
    if (!modify->is_data_external) {
        return reach_to_write(modify, end_off, error);
    }
    modify->is_data_unsafe = true;
    return end_off <= modify->data->len || qcow2_modify_set_data_len(modify, modify->target.virtual_len, error);
}

bool qcow2_modify_write(struct qcow2_modify *modify, uint64_t off, const void *data, uint64_t len, uint32_t own,
                        struct error *error)
{
    RETURN_IF_FAILED(qcow2_overlap_check(&modify->overlap, off, len, own, error));
    RETURN_IF_FAILED(reach_to_write(modify, off + len, error));
    struct io_request request = target_own_request(&modify->target);
    io_write(modify->target.io, &request, modify->target.file, off, data, len);
    RETURN_IF_FAILED(target_settle(&modify->target, error));
    cache_update(modify->image->environment->cache, modify->target.file, off, (struct span){data, (size_t)len});
    return true;
}

bool qcow2_modify_store(struct qcow2_modify *modify, uint64_t off, const void *data, uint32_t len, uint32_t own,
                        struct error *error)
{
    uint64_t start_off = round_down(off, SECTOR_LEN);
    uint64_t sectors_len = round_up(off + len, SECTOR_LEN) - start_off;
    RETURN_IF_FAILED(cache_read(modify->image->environment->cache, modify->target.file, start_off, modify->store,
                                (size_t)sectors_len, error));
    memcpy(modify->store + (off - start_off), data, len);
    return qcow2_modify_write(modify, start_off, modify->store, sectors_len, own, error);
}

bool qcow2_modify_store_be64(struct qcow2_modify *modify, uint64_t off, uint64_t value, uint32_t own,
                             struct error *error)
{
    struct be64 word = be64_make(value);
    return qcow2_modify_store(modify, off, &word, sizeof(word), own, error);
}

bool qcow2_modify_copy_table(struct qcow2_modify *modify, uint64_t off, uint64_t len, uint64_t source_off,
                             uint64_t copy_len, struct error *error)
{
    for (uint64_t done = 0; done < len;) { /* ends: each round writes a sector at least */
        uint64_t part_len = min_u64(len - done, QCOW2_STORE_LEN_MAX);
        uint64_t part_copy = done < copy_len ? min_u64(part_len, copy_len - done) : 0;
        memset(modify->store, 0, part_len);
        RETURN_IF_FAILED(cache_read(modify->image->environment->cache, modify->target.file, source_off + done,
                                    modify->store, (size_t)part_copy, error));
        RETURN_IF_FAILED(qcow2_modify_write(modify, off + done, modify->store, part_len, 0, error));
        done += part_len;
    }
    return true;
}

bool qcow2_modify_write_zeroes(struct qcow2_modify *modify, uint64_t off, uint64_t len, bool may_unmap,
                               struct error *error)
{
    modify->is_data_unsafe = modify->is_data_external;
    RETURN_IF_FAILED(modify->is_data_external || qcow2_overlap_check(&modify->overlap, off, len, 0, error));
    while (len > 0) { /* ends: each round goes on by a part */
        uint64_t part_len = min_u64(len, ZEROING_LEN_MAX);
        struct io_request request = target_own_request(&modify->target);
        io_write_zeroes(modify->target.io, &request, modify->data, off, part_len, may_unmap);
        RETURN_IF_FAILED(target_settle(&modify->target, error));
        off += part_len;
        len -= part_len;
    }
    return true;
}
