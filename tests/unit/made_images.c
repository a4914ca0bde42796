/* SPDX-License-Identifier: Apache-2.0 */
#include "made_images.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "native.h"

#define SEED_LEN 8u

uint8_t file_bytes[FILE_LEN];
struct layout layouts[2];
struct image images[2];
uint64_t bad_seed_voff;
uint64_t bad_map_voff;

static uint64_t random_state;

static uint64_t random_next(void)
{
    random_state += 0x9e3779b97f4a7c15u;
    uint64_t mixed = (random_state ^ (random_state >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

static uint64_t random_below(uint64_t limit)
{
    return random_next() % limit;
}

/* The codec: a cluster is a seed, repeated and counted. */
static void expand(const uint8_t *seed, uint8_t *target, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        target[i] = (uint8_t)(seed[i % SEED_LEN] + i / 256);
    }
}

static bool fake_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error)
{
    const struct layout *layout = image->state;
    if (bad_map_voff - voff < 1) {
        return error_set(error, ERROR_MALFORMED, NULL, "no such table");
    }
    uint32_t low = 0;
    uint32_t high = layout->count;
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        *(layout->extents[middle].voff <= voff ? &low : &high) = middle;
    }
    struct extent extent = layout->extents[low];
    uint64_t skipped_len = voff - extent.voff;
    extent.voff = voff;
    extent.len = min_u64(extent.len - skipped_len, len);
    if (voff < bad_map_voff) {
        extent.len = min_u64(extent.len, bad_map_voff - voff);
    }
    if (extent.kind == EXTENT_DATA) {
        extent.file_off += skipped_len;
    }
    *ret_extent = extent;
    return true;
}

static bool fake_decompress(const struct image *image, const struct extent *extent, struct span stream, uint8_t *target,
                            void *scratch, struct error *error)
{
    assert_int_equal(stream.len, extent->compressed_len);
    memset(scratch, 0xee, image->scratch_len);
    memset(target, 0xdd, image->cluster_len / 2);
    if (extent->cluster_voff == bad_seed_voff) {
        return error_set(error, ERROR_MALFORMED, NULL, "no such stream");
    }
    expand(stream.data, target, image->cluster_len);
    return true;
}

/*
 * The same in steps: the stream is a seed, then one byte for each 4 KiB of the unit; steps stop at odd places. `state`
 * remembers how far it is.
 */
struct fake_state {
    uint8_t seed[SEED_LEN];
    uint32_t seed_count;
    uint32_t made_len;
    uint32_t taken_count;
};

static bool fake_decompress_step(const struct image *image, const struct extent *extent, struct stream_step *step,
                                 void *state, struct error *error)
{
    struct fake_state *own = state;
    if (step->is_first) {
        *own = (struct fake_state){.made_len = 0};
    }
    if (extent->cluster_voff == bad_seed_voff && own->made_len > image->cluster_len / 2) {
        return error_set(error, ERROR_MALFORMED, NULL, "no such stream");
    }
    while (step->input.len > 0 && own->seed_count < SEED_LEN) {
        own->seed[own->seed_count++] = step->input.data[0];
        step->input = (struct span){step->input.data + 1, step->input.len - 1};
    }
    while (step->output_len > 0 && own->made_len < image->cluster_len) {
        if (own->taken_count * 4096 <= own->made_len) {
            if (step->input.len == 0) {
                break;
            }
            own->taken_count++;
            step->input = (struct span){step->input.data + 1, step->input.len - 1};
        }
        *step->output++ = (uint8_t)(own->seed[own->made_len % SEED_LEN] + own->made_len / 256);
        step->output_len--;
        own->made_len++;
    }
    step->is_finished = own->made_len == image->cluster_len;
    return true;
}

const struct format fake_format = {
    .name = "fake", .map = fake_map, .decompress = fake_decompress, .decompress_step = fake_decompress_step};
const struct format plain_format = {.name = "plain", .map = fake_map};

static uint64_t random_len(bool is_odd)
{
    static const uint32_t units[] = {512, 4096, 65536, 300 << 10};
    uint64_t len = (1 + random_below(4)) * units[random_below(4)];
    return is_odd && random_below(8) == 0 ? 1 + random_below(1500) : len;
}

static void fill_plain(struct image *image, struct extent *extent, bool is_odd)
{
    static const enum extent_kind kinds[] = {EXTENT_DATA, EXTENT_DATA, EXTENT_ZERO, EXTENT_UNALLOCATED};
    struct layout *layout = image->state;
    extent->kind = kinds[random_below(4)];
    const struct extent *before = layout->count > 0 ? &layout->extents[layout->count - 1] : NULL;
    uint64_t behind = before != NULL && before->kind == EXTENT_DATA ? before->file_off + before->len : 0;
    if (extent->kind == EXTENT_DATA) {
        /* Some lie behind the one before it. Behind the end of the file are zeros. */
        bool is_next = behind > 0 && behind < FILE_LEN && random_below(2) == 0;
        extent->file_off = is_next ? behind : random_below(FILE_LEN) & (is_odd && random_below(4) == 0 ? ~0u : ~511u);
        for (uint64_t i = 0; i < extent->len; i++) {
            uint64_t off = extent->file_off + i;
            layout->disk[extent->voff + i] = off < FILE_LEN ? file_bytes[off] : 0;
        }
    } else if (extent->kind == EXTENT_ZERO) {
        memset(layout->disk + extent->voff, 0, extent->len);
    }
}

/* A cluster in two extents at most: formats may answer with a part. */
static void add_compressed(struct image *image, uint64_t voff)
{
    static uint8_t cluster[DISK_LEN_MAX];
    struct layout *layout = image->state;
    uint64_t len = min_u64(image->cluster_len, image->virtual_len - voff);
    uint64_t first_len = random_below(4) == 0 && len > 512 ? 512 : len;
    struct extent extent = {
        .kind = EXTENT_COMPRESSED,
        .voff = voff,
        .len = first_len,
        .file = image->file,
        .file_off = random_below(2) == 0 ? random_below(FILE_LEN - SEED_LEN) : (voff / 3) % (FILE_LEN - SEED_LEN),
        .compressed_len = SEED_LEN + random_below(image->cluster_len),
        .cluster_voff = voff,
    };
    if (image->cluster_len > FORMAT_CLUSTER_LEN_MAX) {
        extent.file_off = random_below(FILE_LEN / 2);
        extent.compressed_len = SEED_LEN + image->cluster_len / 4096 + 1 + random_below(900000);
    }
    expand(file_bytes + extent.file_off, cluster, image->cluster_len);
    memcpy(layout->disk + voff, cluster, len);
    layout->extents[layout->count++] = extent;
    if (first_len < len) {
        extent.voff += first_len;
        extent.len = len - first_len;
        layout->extents[layout->count++] = extent;
    }
}

/* layout->disk has what is behind the image. */
static void make_layout(struct image *image, bool is_odd, uint32_t compressed_share)
{
    struct layout *layout = image->state;
    layout->count = 0;
    uint64_t voff = 0;
    while (voff < image->virtual_len) {
        assert_true(layout->count + 2 < EXTENTS_MAX);
        bool has_cluster = image->cluster_len > 0 && voff % image->cluster_len == 0;
        if (has_cluster && random_below(100) < compressed_share) {
            add_compressed(image, voff);
        } else {
            struct extent extent = {.voff = voff, .file = image->file, .len = random_len(is_odd)};
            if (image->cluster_len > 0) { /* clusters begin at their multiples again */
                extent.len = min_u64(extent.len, image->cluster_len - voff % image->cluster_len);
            }
            extent.len = min_u64(extent.len, image->virtual_len - voff);
            fill_plain(image, &extent, is_odd);
            layout->extents[layout->count++] = extent;
        }
        const struct extent *last = &layout->extents[layout->count - 1];
        voff = last->voff + last->len;
    }
}

void make_images(const struct shape *shape, uint64_t seed)
{
    random_state = seed;
    bad_seed_voff = UINT64_MAX;
    bad_map_voff = UINT64_MAX;
    for (uint32_t i = 0; i < FILE_LEN; i++) {
        file_bytes[i] = random_below(3) == 0 ? 0 : (uint8_t)random_next();
    }
    memset(file_bytes + (FILE_LEN / 2), 0, 200 << 10);
    memset(&layouts[0].disk, 0, DISK_LEN_MAX);
    struct file *file = native_file_of_bytes(file_bytes, FILE_LEN, FILE_LEN);
    for (int i = 1; i >= 0; i--) {
        if (i == 1 && shape->len[i] == 0) {
            continue;
        }
        images[i] = (struct image){
            .format = shape->cluster_len[i] > 0 ? &fake_format : &plain_format,
            .environment = native_environment(),
            .file = file,
            .backing = i == 0 && shape->len[1] > 0 ? &images[1] : NULL,
            .virtual_len = shape->len[i],
            .cluster_len = shape->cluster_len[i],
            .scratch_len = 1000,
            .stream_state_len = sizeof(struct fake_state),
            .state = &layouts[i],
        };
        if (i == 1) {
            memset(layouts[1].disk, 0, DISK_LEN_MAX);
        } else if (shape->len[1] > 0) {
            memcpy(layouts[0].disk, layouts[1].disk, shape->len[1]);
            memset(layouts[0].disk + shape->len[1], 0, DISK_LEN_MAX - shape->len[1]);
        }
        make_layout(&images[i], shape->is_odd, shape->compressed_share);
    }
}
