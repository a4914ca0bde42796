/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed clusters that come from another image's file as they lie there. Its host clusters are copied whole, in
 * runs that are as long as they can be, to where a stream has the same place within its cluster: storage can be shared,
 * and only the offset in the L2 entry changes. A run ends with the block of reference counts that counts it, and where
 * the next stream begins in another cluster of the source than the last one ends in or the one behind that.
 */
#include "base/checked.h"
#include "base/units.h"
#include "guest/formats/qcow2/new/qcow2_writer.h"
#include "guest/formats/qcow2/open/qcow2_image.h"

static uint64_t cluster_of(const struct qcow2_writer *writer, uint64_t off)
{
    return off >> writer->options.cluster_bits;
}

static uint64_t last_cluster_of(const struct qcow2_writer *writer, const struct target_stream *stream)
{
    return cluster_of(writer, stream->off + stream->len - 1);
}

/* Whether the run, with another stream, ends with the clusters that were taken last. */
static bool run_can_go_on(const struct qcow2_writer *writer, const struct file *source)
{
    const struct qcow2_stream_run *run = &writer->stream_run;
    return run->source == source && writer->allocator.next == run->last + 1 + run->shift;
}

/* Begins another run, with room for this stream at least. */
static bool run_begin(struct qcow2_writer *writer, const struct file *source, const struct target_stream *stream,
                      struct error *error)
{
    struct qcow2_allocator *allocator = &writer->allocator;
    uint64_t first = cluster_of(writer, stream->off);
    if (qcow2_allocator_room(allocator) < last_cluster_of(writer, stream) - first + 1) {
        qcow2_allocator_skip(allocator); /* a block counts 64 clusters at least, and a stream lies in three at most */
    }
    RETURN_IF_FAILED(qcow2_writer_turn(writer, error));
    writer->stream_run =
        (struct qcow2_stream_run){.source = source, .last = first - 1, .shift = allocator->next - first};
    return true;
}

/* Adds a stream to the run, and counts it. False, and nothing has changed, when it is none that can follow. */
static bool run_add(struct qcow2_writer *writer, uint64_t voff, const struct target_stream *stream)
{
    struct qcow2_stream_run *run = &writer->stream_run;
    struct qcow2_allocator *allocator = &writer->allocator;
    uint64_t first = cluster_of(writer, stream->off);
    uint64_t more_count = last_cluster_of(writer, stream) - run->last;
    bool is_shared = first == run->last;
    uint64_t ignored;
    if ((!is_shared && first != run->last + 1) || more_count > qcow2_allocator_room(allocator) ||
        (is_shared && !qcow2_allocator_share(allocator, first + run->shift))) {
        return false;
    }
    if (more_count > 0) {
        (void)qcow2_allocator_take(allocator, more_count, &ignored); /* all of them: there is room */
        run->last += more_count;
    }
    uint64_t off = stream->off + (run->shift << writer->options.cluster_bits);
    qcow2_writer_set_entry(writer, voff, qcow2_compressed_entry(writer->options.cluster_bits, off, stream->len));
    return true;
}

/* Copies the clusters of the run from `first` on; those before have been. */
static bool run_copy(struct qcow2_writer *writer, struct target_write *write, struct file *source, uint64_t first,
                     struct error *error)
{
    struct target *target = &writer->target;
    const struct qcow2_stream_run *run = &writer->stream_run;
    uint32_t bits = writer->options.cluster_bits;
    if (first == run->last + 1) {
        write->done(write, NULL);
        return true;
    }
    uint64_t off = first << bits;
    /* All streams end before the file does, with a sector; the rest of the last one's cluster may not be there. */
    uint64_t len = min_u64((run->last + 1) << bits, round_down(source->len, SECTOR_LEN)) - off;
    uint64_t target_off = (first + run->shift) << bits;
    uint64_t target_end = (run->last + run->shift + 1) << bits;
    RETURN_IF_FAILED(qcow2_writer_grow_to(writer, target_end, error));
    target_begin_write(target, write);
    io_copy(target->io, &write->request, source, off, target->file, target_off, len, 0);
    return true;
}

bool qcow2_writer_copy_streams(struct target *target, struct target_write *write, uint64_t voff, struct file *source,
                               const struct target_stream *streams, uint32_t count, uint32_t *ret_count,
                               struct error *error)
{
    struct qcow2_writer *writer = qcow2_writer_of(target);
    struct qcow2_stream_run *run = &writer->stream_run;
    RETURN_IF_FAILED(target_check(target, error));
    RETURN_IF_FAILED(qcow2_writer_select(writer, voff, error));
    RETURN_IF_FAILED(!writer->pack.is_open || qcow2_pack_close(writer, error));
    uint64_t room = (writer->l2_span_len - voff % writer->l2_span_len) >> writer->options.cluster_bits;
    uint64_t first = run->last + 1;
    uint32_t done_count = 0;
    if (!run_can_go_on(writer, source) || !run_add(writer, voff, &streams[0])) {
        RETURN_IF_FAILED(run_begin(writer, source, &streams[0], error));
        first = run->last + 1;
    } else {
        done_count = 1;
    }
    while (done_count < min_u64(count, room) &&
           run_add(writer, voff + ((uint64_t)done_count << writer->options.cluster_bits), &streams[done_count])) {
        done_count++;
    }
    if ((run->last + run->shift + 1) << writer->options.cluster_bits >
        1ull << qcow2_compressed_off_bits(writer->options.cluster_bits)) {
        return error_set(error, ERROR_UNSUPPORTED, target->file->name,
                         "the image gets too long for compressed clusters");
    }
    if (done_count == 0) { /* cannot be: the run was begun for it */
        return error_set(error, ERROR_GUEST, target->file->name, "a compressed cluster has found no place");
    }
    *ret_count = done_count;
    return run_copy(writer, write, source, first, error);
}
