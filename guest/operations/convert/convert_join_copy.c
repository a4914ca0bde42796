/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/convert/convert_join_copy.h"

#include "base/checked.h"
#include "guest/operations/job/progress_report.h"

/* Of one copy: large, so that the host can work in large steps; not so large that progress is not seen. */
#define COPY_LEN_MAX (64ull << 20)

bool convert_join_begin(struct convert_join *join, struct error *error)
{
    const struct target *target = join->target;
    uint64_t piece_len = rate_limit_piece_len(join->rate_limit);
    /* Whole units of any format. */
    join->piece_len =
        piece_len != 0 ? round_up(min_u64(piece_len, COPY_LEN_MAX), FORMAT_CLUSTER_LEN_MAX) : COPY_LEN_MAX;
    for (uint32_t i = 0; i < JOIN_WRITES_MAX; i++) {
        join->writes[i].join = join;
        join->writes[i].next_free = join->free;
        join->free = &join->writes[i];
    }
    return (target->takes_copies && (target->compress_len == 0 || target->operations->copy_streams != NULL)) ||
           error_set(error, ERROR_UNSUPPORTED, target->file->name, "parts cannot be copied to it");
}

static void write_give_back(struct convert_join *join, struct join_write *write)
{
    join->pending--;
    write->next_free = join->free;
    join->free = write;
}

static void write_done(struct target_write *target_write, const struct error *error)
{
    struct join_write *write = target_write->owner;
    struct convert_join *join = write->join;
    if (error != NULL && !error_is_set(&join->error)) {
        join->error = *error;
    }
    progress_add(join->progress, write->len);
    write_give_back(join, write);
}

/* Waits for a copy to end, or for all that have. */
static bool join_wait(struct convert_join *join, struct error *error)
{
    RETURN_IF_FAILED(io_wait(join->target->io, error));
    (void)progress_report(join->progress);
    if (error_is_set(&join->error)) {
        *error = join->error;
        return false;
    }
    return true;
}

/* A free one, at the rate that is allowed. */
static bool write_take(struct convert_join *join, struct join_write **ret_write, struct error *error)
{
    while (!rate_limit_allows(join->rate_limit, join->bytes_written)) { /* ends: time goes by */
        rate_limit_wait();
        RETURN_IF_FAILED(io_poll(join->target->io, error));
        (void)progress_report(join->progress);
    }
    while (join->free == NULL) { /* ends: copies are done at some time */
        RETURN_IF_FAILED(join_wait(join, error));
    }
    struct join_write *write = join->free;
    join->free = write->next_free;
    join->pending++;
    write->write = (struct target_write){.done = write_done, .owner = write};
    *ret_write = write;
    return true;
}

/* Begins to copy the units that are there. */
static bool streams_submit(struct convert_join *join, struct error *error)
{
    struct target *target = join->target;
    uint32_t done_count = 0;
    while (done_count < join->stream_count) { /* ends: the target takes one at least */
        struct join_write *write;
        uint64_t voff = join->streams_voff + (uint64_t)done_count * target->compress_len;
        uint32_t count = join->stream_count - done_count;
        RETURN_IF_FAILED(write_take(join, &write, error));
        /* Before `done`, which copy_streams may call; the last one ends with the disk. */
        write->len = 0;
        if (!target->operations->copy_streams(target, &write->write, voff, join->part->file, &join->streams[done_count],
                                              count, &count, error)) {
            write_give_back(join, write);
            return false;
        }
        uint64_t len = min_u64((uint64_t)count * target->compress_len, target->virtual_len - voff);
        progress_add(join->progress, len);
        join->bytes_written += len;
        done_count += count;
        RETURN_IF_FAILED(io_poll(target->io, error));
        (void)progress_report(join->progress);
    }
    join->stream_count = 0;
    return true;
}

/* What a part has compressed must be as the target would have it, and there. */
static bool stream_check(const struct convert_join *join, const struct extent *extent, struct error *error)
{
    const struct image *part = join->part;
    const struct target *target = join->target;
    uint64_t end_off;
    if (target->compress_len == 0 || part->stream_kind != target->takes_streams ||
        image_unit_len(part, extent) != target->compress_len) {
        return error_set(error, ERROR_MALFORMED, part->file->name,
                         "offset %llu of the disk is compressed, and parts like this one have nothing that is",
                         (unsigned long long)extent->voff);
    }
    if (!checked_add(extent->file_off, extent->compressed_len, &end_off) || end_off > part->file->len) {
        return error_set(error, ERROR_MALFORMED, part->file->name,
                         "the compressed cluster for offset %llu of the disk, at %llu, ends behind the end of the file",
                         (unsigned long long)extent->voff, (unsigned long long)extent->file_off);
    }
    return true;
}

static bool stream_add(struct convert_join *join, const struct extent *extent, struct error *error)
{
    uint64_t unit_len = join->target->compress_len;
    RETURN_IF_FAILED(stream_check(join, extent, error));
    if (join->stream_count == JOIN_STREAMS_MAX || (join->stream_count + 1) * unit_len > join->piece_len) {
        RETURN_IF_FAILED(streams_submit(join, error));
    }
    if (join->stream_count == 0) {
        join->streams_voff = extent->voff;
    }
    join->streams[join->stream_count++] = (struct target_stream){extent->file_off, (uint32_t)extent->compressed_len};
    return true;
}

/* Begins to copy plain data. */
static bool data_submit(struct convert_join *join, const struct extent *extent, struct error *error)
{
    struct target *target = join->target;
    uint64_t end_off;
    if (extent->file != join->part->file) {
        return error_set(error, ERROR_MALFORMED, join->part->file->name, "a part has its data in its own file");
    }
    if (!checked_add(extent->file_off, extent->len, &end_off) || end_off > extent->file->len) {
        return error_set(error, ERROR_MALFORMED, join->part->file->name,
                         "the data for offset %llu of the disk, at %llu, ends behind the end of the file",
                         (unsigned long long)extent->voff, (unsigned long long)extent->file_off);
    }
    uint64_t done_len = 0;
    while (done_len < extent->len) { /* ends: the target takes a unit at least */
        struct join_write *write;
        uint64_t len = min_u64(extent->len - done_len, join->piece_len);
        RETURN_IF_FAILED(write_take(join, &write, error));
        if (!target->operations->copy(target, &write->write, extent->voff + done_len, extent->file,
                                      extent->file_off + done_len, len, 0, &len, error)) {
            write_give_back(join, write);
            return false;
        }
        write->len = len;
        join->bytes_written += len;
        done_len += len;
        RETURN_IF_FAILED(io_poll(target->io, error));
        (void)progress_report(join->progress);
    }
    return true;
}

static bool zeros_add(struct convert_join *join, const struct extent *extent, struct error *error)
{
    join->bytes_zero += extent->len;
    progress_add(join->progress, extent->len);
    return join->target->operations->zero(join->target, extent->voff, extent->len, error);
}

static bool extent_add(struct convert_join *join, const struct chain_extent *found, struct error *error)
{
    const struct extent *extent = &found->extent;
    if (found->missing != NULL) {
        return image_report_missing(found, error);
    }
    if (extent->kind == EXTENT_COMPRESSED) {
        return stream_add(join, extent, error);
    }
    RETURN_IF_FAILED(streams_submit(join, error)); /* new images are written front to back */
    if (extent->kind == EXTENT_ZERO || found->is_hole) {
        return zeros_add(join, extent, error);
    }
    return extent->kind == EXTENT_DATA
               ? data_submit(join, extent, error)
               : error_set(error, ERROR_MALFORMED, join->part->file->name, "a part is not encrypted");
}

bool convert_join_add(struct convert_join *join, struct image *part, uint64_t start_voff, uint64_t end_voff,
                      struct error *error)
{
    join->part = part;
    uint64_t voff = start_voff;
    while (voff < end_voff) { /* ends: extents are not empty */
        struct chain_extent found;
        RETURN_IF_FAILED(image_map(part, voff, end_voff - voff, &found, error) && extent_add(join, &found, error));
        voff += found.extent.len;
    }
    return streams_submit(join, error);
}

bool convert_join_end(struct convert_join *join, struct error *error)
{
    while (join->pending > 0) { /* ends: copies are done at some time */
        RETURN_IF_FAILED(join_wait(join, error));
    }
    (void)progress_report(join->progress);
    if (error_is_set(&join->error)) {
        *error = join->error;
        return false;
    }
    return true;
}
