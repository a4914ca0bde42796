/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/convert/convert_compressor.h"

#include "abi/layout.h"
#include "base/checked.h"
#include "guest/runtime/workers.h"

/* Clusters under way, and their memory: enough for all vCPUs while vCPU 0 does something else. */
#define CLUSTERS_LEN_MAX (8ull << 20)
#define CLUSTER_COUNT_MIN 4u
#define CLUSTER_COUNT_MAX 64u

struct convert_cluster {
    struct worker_task task; /* first */
    struct target_write write;
    struct convert_compressor *compressor;
    struct convert_cluster *next; /* in line, or free */
    struct convert_memory memory;
    const uint8_t *data; /* NULL: zeros, without a task */
    uint64_t off;
    uint64_t len; /* of the disk */
    uint8_t *stream;
    struct span source_stream; /* instead of `stream`, and without a task; no data: there is none */
    uint32_t stream_len;       /* 0: the cluster does not get shorter */
    bool is_zero;
};

struct convert_compressor {
    struct convert_target *owner;
    uint32_t cluster_len;
    uint8_t **scratch; /* of each vCPU */
    struct convert_cluster *free;
    struct convert_cluster *first, *last; /* in line, in the order of the disk */
};

static bool clusters_make(struct convert_compressor *compressor, uint32_t vcpu_count, struct arena *arena)
{
    const struct target *target = compressor->owner->target;
    compressor->scratch = arena_allocate(arena, vcpu_count * sizeof(*compressor->scratch), _Alignof(uint8_t *));
    for (uint32_t i = 0; compressor->scratch != NULL && i < vcpu_count; i++) {
        compressor->scratch[i] = arena_allocate(arena, target->scratch_len, LAYOUT_PAGE_LEN);
        if (compressor->scratch[i] == NULL) {
            return false;
        }
    }
    uint64_t count = min_u64(max_u64(CLUSTERS_LEN_MAX / compressor->cluster_len, CLUSTER_COUNT_MIN), CLUSTER_COUNT_MAX);
    /* What is alike lies together: a stream's memory is touched when it is needed. */
    struct convert_cluster *clusters =
        arena_allocate(arena, count * sizeof(*clusters), _Alignof(struct convert_cluster));
    uint8_t *streams = arena_allocate(arena, count * compressor->cluster_len, LAYOUT_PAGE_LEN);
    if (compressor->scratch == NULL || clusters == NULL || streams == NULL) {
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        clusters[i] = (struct convert_cluster){
            .compressor = compressor, .stream = streams + i * compressor->cluster_len, .next = compressor->free};
        compressor->free = &clusters[i];
    }
    return true;
}

bool convert_compressor_make(struct convert_target *target, uint32_t vcpu_count, struct arena *arena,
                             struct convert_compressor **ret_compressor, struct error *error)
{
    struct convert_compressor *compressor =
        arena_allocate(arena, sizeof(*compressor), _Alignof(struct convert_compressor));
    if (compressor != NULL) {
        *compressor = (struct convert_compressor){.owner = target, .cluster_len = target->target->compress_len};
    }
    if (compressor == NULL || !clusters_make(compressor, vcpu_count, arena)) {
        return error_set(error, ERROR_LIMIT, NULL,
                         "the machine has no memory for compressing clusters of %u bytes at this level",
                         target->target->compress_len);
    }
    *ret_compressor = compressor;
    return true;
}

bool convert_compressor_has_room(const struct convert_compressor *compressor)
{
    return compressor->free != NULL;
}

bool convert_compressor_is_empty(const struct convert_compressor *compressor)
{
    return compressor->first == NULL;
}

static void cluster_free(struct convert_cluster *cluster)
{
    struct convert_compressor *compressor = cluster->compressor;
    if (cluster->data != NULL) {
        convert_memory_release(&cluster->memory);
    }
    cluster->next = compressor->free;
    compressor->free = cluster;
}

/* A free one, at the end of the line. */
static struct convert_cluster *cluster_append(struct convert_compressor *compressor, uint64_t off, uint64_t len)
{
    struct convert_cluster *cluster = compressor->free;
    compressor->free = cluster->next;
    cluster->next = NULL;
    cluster->off = off;
    cluster->len = len;
    if (compressor->first == NULL) {
        compressor->first = cluster;
    } else {
        compressor->last->next = cluster;
    }
    compressor->last = cluster;
    return cluster;
}

static void run_task(struct worker_task *task, uint32_t vcpu)
{
    struct convert_cluster *cluster = (struct convert_cluster *)task;
    const struct convert_compressor *compressor = cluster->compressor;
    const struct target *target = compressor->owner->target;
    struct span bytes = {cluster->data, compressor->cluster_len};
    cluster->stream_len = 0;
    cluster->is_zero = compressor->owner->sparse_len > 0 && bytes_are_zero(bytes);
    if (!cluster->is_zero) {
        cluster->stream_len = target->operations->compress(target, bytes, cluster->stream, compressor->scratch[vcpu]);
    }
}

void convert_compressor_add(struct convert_compressor *compressor, const struct convert_memory *memory,
                            const uint8_t *cluster_data, uint64_t off, uint64_t len)
{
    struct convert_cluster *cluster = cluster_append(compressor, off, len);
    cluster->data = cluster_data;
    cluster->source_stream = (struct span){0};
    cluster->memory = *memory;
    cluster->task = (struct worker_task){.run = run_task};
    convert_memory_keep(memory);
    workers_submit(&cluster->task);
}

void convert_compressor_add_stream(struct convert_compressor *compressor, const struct convert_memory *memory,
                                   const uint8_t *cluster_data, uint64_t off, struct span stream)
{
    struct convert_cluster *cluster = cluster_append(compressor, off, compressor->cluster_len);
    struct span bytes = {cluster_data, compressor->cluster_len};
    cluster->data = cluster_data;
    cluster->source_stream = stream;
    cluster->memory = *memory;
    cluster->stream_len = (uint32_t)stream.len;
    cluster->is_zero = compressor->owner->sparse_len > 0 && bytes_are_zero(bytes);
    convert_memory_keep(memory);
}

void convert_compressor_add_zeros(struct convert_compressor *compressor, uint64_t off, uint64_t len)
{
    struct convert_cluster *cluster = cluster_append(compressor, off, len);
    cluster->data = NULL;
    cluster->source_stream = (struct span){0};
    cluster->stream_len = 0;
    cluster->is_zero = true;
}

static void write_done(struct target_write *write, const struct error *error)
{
    struct convert_cluster *cluster = write->owner;
    convert_target_done(cluster->compressor->owner, cluster->len, error);
    cluster_free(cluster);
}

/* Writes a cluster that is no longer in line. */
static bool cluster_write(struct convert_cluster *cluster, struct error *error)
{
    struct convert_target *owner = cluster->compressor->owner;
    struct target *target = owner->target;
    uint64_t len = cluster->len;
    uint64_t off = cluster->off;
    if (cluster->stream_len == TARGET_COMPRESS_FAILED) {
        cluster_free(cluster);
        return error_set(error, ERROR_GUEST, target->file->name, "the compressed cluster of offset %llu was made wrong",
                         (unsigned long long)off);
    }
    if (cluster->is_zero) {
        cluster_free(cluster);
        return convert_target_zero(owner, off, len, error);
    }
    cluster->write = (struct target_write){.done = write_done, .owner = cluster};
    owner->pending++;
    owner->bytes_written += len;
    /* Behind the end of what comes, an image that exists has data of its own. */
    bool is_part = len < cluster->compressor->cluster_len && off + len < target->virtual_len;
    if (cluster->stream_len > 0 && !is_part) {
        struct span made = {cluster->stream, cluster->stream_len};
        struct span stream = cluster->source_stream.data != NULL ? cluster->source_stream : made;
        return target->operations->write_compressed(target, &cluster->write, off, stream, error);
    }
    uint64_t written_len;
    RETURN_IF_FAILED(target->operations->write(target, &cluster->write, off, cluster->data, len, &written_len, error));
    return written_len == len || error_set(error, ERROR_GUEST, target->file->name, "a cluster is not in one piece");
}

bool convert_compressor_advance(struct convert_compressor *compressor, bool *ret_moved, struct error *error)
{
    for (;;) { /* ends: each round makes the line shorter */
        struct convert_cluster *cluster = compressor->first;
        bool has_task = cluster != NULL && cluster->data != NULL && cluster->source_stream.data == NULL;
        if (cluster == NULL || (has_task && !worker_task_is_done(&cluster->task))) {
            return true;
        }
        compressor->first = cluster->next;
        *ret_moved = true;
        RETURN_IF_FAILED(cluster_write(cluster, error));
        if (compressor->owner->has_rate_limit) {
            return true; /* all of a short disk may be compressed by now */
        }
    }
}
