/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damages qcow2 images at random, always in the same way for a seed, and does everything with them that reads them:
 * opening, describing, snapshots, map, decompressing, checking, measuring. They must not crash, run for long, or take
 * more memory than there is; built with sanitizers, they must not even come near it.
 *
 *     qcow2_replay COUNT SEED FILE...
 *
 * prints how many of the COUNT images could be opened. One that takes longer than 10 seconds ends the program by
 * SIGALRM; its number is printed before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "guest/image/io.h"
#include "native.h"

#define REPLAYED_LEN_MAX (8u << 20)
#define MUTATIONS_MAX 8u
#define SECONDS_MAX 10u
/* Calls of map, and compressed clusters, that are looked at of an image. */
#define MAP_CALLS_MAX 4096u
#define CLUSTERS_MAX 64u

static uint64_t random_state;

/* xorshift64*; enough for this. */
static uint64_t random_next(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1dull;
}

static uint64_t random_below(uint64_t limit)
{
    return random_next() % limit;
}

static void store_be(uint8_t *bytes, uint32_t len, uint64_t value)
{
    for (uint32_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(value >> 8 * (len - i - 1));
    }
}

/* A number that is at the border of something, or anything. */
static uint64_t odd_number(uint64_t file_len)
{
    switch (random_below(8)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return 1ull << random_below(64);
    case 3:
        return (1ull << random_below(64)) - 1;
    case 4:
        return random_below(file_len) & ~511ull;
    case 5:
        return file_len + random_below(1u << 20);
    case 6:
        return random_below(256);
    default:
        return random_next();
    }
}

/* Most damage is done where metadata is: in the header, and where it points to. */
static uint64_t place(const uint8_t *bytes, uint64_t len)
{
    static const uint32_t pointers[] = {40, 48, 64};
    uint64_t off = random_below(8) < 4 ? random_below(min_u64(len, 256)) : random_below(len);
    if (random_below(4) == 0 && len >= 72) {
        const uint8_t *pointer = bytes + pointers[random_below(ARRAY_COUNT(pointers))];
        uint64_t target = 0;
        for (uint32_t i = 0; i < 8; i++) {
            target = target << 8 | pointer[i];
        }
        off = target < len ? target + random_below(min_u64(len - target, 512)) : off;
    }
    return off;
}

static void mutate(uint8_t *bytes, uint64_t len)
{
    static const uint32_t lens[] = {1, 2, 4, 8};
    uint64_t count = 1 + random_below(MUTATIONS_MAX);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t word_len = lens[random_below(ARRAY_COUNT(lens))];
        uint64_t off = place(bytes, len);
        if (random_below(2) == 0) {
            off = round_down(off, word_len);
        }
        if (off + word_len > len) {
            continue;
        }
        if (random_below(3) == 0) {
            bytes[off] ^= (uint8_t)(1u << random_below(8));
        } else {
            store_be(bytes + off, word_len, odd_number(len));
        }
    }
}

/* Decompresses the cluster; memory is as long as it has to be, so that sanitizers see the next byte. */
static void expand(struct image *image, const struct extent *extent)
{
    struct error error = {0};
    if (extent->compressed_len > 2ull * image->cluster_len || image->cluster_len > FORMAT_CLUSTER_LEN_MAX) {
        abort();
    }
    uint8_t *stream = malloc(extent->compressed_len);
    uint8_t *target = malloc(image->cluster_len);
    void *scratch = malloc(image->scratch_len);
    if (stream == NULL || target == NULL || scratch == NULL) {
        abort();
    }
    if (file_read(extent->file, extent->file_off, stream, extent->compressed_len, &error)) {
        (void)image->format->decompress(image, extent, (struct span){stream, extent->compressed_len}, target, scratch,
                                        &error);
    }
    free(scratch);
    free(target);
    free(stream);
}

static void map_all(struct image *image)
{
    struct error error = {0};
    uint32_t clusters = 0;
    uint64_t voff = 0;
    for (uint32_t calls = 0; voff < image->virtual_len && calls < MAP_CALLS_MAX; calls++) {
        struct chain_extent chain = {.depth = 0};
        uint64_t len = random_below(4) == 0 ? 1 + random_below(1u << 20) : UINT64_MAX;
        if (!image_map(image, voff, len, &chain, &error)) {
            error = (struct error){0};
            voff += 1 + random_below(image->cluster_len);
            continue;
        }
        const struct extent *extent = &chain.extent;
        if (extent->voff != voff || extent->len == 0 || extent->len > min_u64(len, image->virtual_len - voff)) {
            fprintf(stderr, "map: an extent that is not within what was asked for\n");
            abort();
        }
        if (extent->kind == EXTENT_COMPRESSED && clusters++ < CLUSTERS_MAX) {
            expand(image, extent);
        }
        voff += extent->len;
    }
}

static bool use_image(struct file *file, enum image_purpose purpose)
{
    struct error error = {0};
    struct image_setup setup = {
        .environment = native_environment(), .file = file, .format = "qcow2", .purpose = purpose};
    struct image *image;
    instar_CheckMessage check = {0};
    instar_SnapshotChoice choice = {.id_or_name = {.size = 1, .bytes = {'1'}}};
    if (!image_open(&setup, &image, &error)) {
        if (!error_is_set(&error)) {
            abort();
        }
        return false;
    }
    image->backing_name.is_set = false; /* nothing else is opened */
    switch (purpose) {
    case IMAGE_TO_DESCRIBE:
        (void)image->format->describe(image, &error);
        break;
    case IMAGE_TO_CHECK:
    case IMAGE_TO_REPAIR:
        if (image->format->check != NULL) {
            (void)image->format->check(image, 100, &check, &error);
        }
        break;
    case IMAGE_TO_READ:
    case IMAGE_TO_CHANGE:
    default:
        map_all(image);
        if (image->format->select_snapshot(image, &choice, &error)) {
            map_all(image);
        }
        break;
    }
    return true;
}

static uint8_t *read_seed(const char *path, uint64_t *ret_len)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(REPLAYED_LEN_MAX);
    if (file == NULL || bytes == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    *ret_len = fread(bytes, 1, REPLAYED_LEN_MAX, file);
    fclose(file);
    return bytes;
}

static bool replay(const uint8_t *seed, uint64_t seed_len)
{
    static const enum image_purpose purposes[] = {IMAGE_TO_DESCRIBE, IMAGE_TO_READ, IMAGE_TO_CHECK};
    uint8_t *bytes = malloc(seed_len);
    bool is_open = false;
    if (bytes == NULL) {
        abort();
    }
    memcpy(bytes, seed, seed_len);
    mutate(bytes, seed_len);
    uint64_t len = random_below(16) == 0 ? 1 + random_below(seed_len) : seed_len;
    for (size_t i = 0; i < ARRAY_COUNT(purposes); i++) {
        native_start(&(struct native_setup){.refuses_late_files = true});
        native_environment()->io = io_make(native_arena(), NATIVE_IO_REQUESTS);
        is_open |= use_image(native_file_of_bytes(bytes, len, seed_len), purposes[i]);
        native_stop();
    }
    free(bytes);
    return is_open;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: qcow2_replay COUNT SEED FILE...\n");
        return 2;
    }
    uint64_t count = strtoull(argv[1], NULL, 10);
    uint64_t seed = strtoull(argv[2], NULL, 10);
    uint64_t opened = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t len;
        /* Each image by itself: `qcow2_replay 1 SEED FILE` with another seed replays one. */
        random_state = (seed + i) * 0x9e3779b97f4a7c15ull + 1;
        uint8_t *bytes = read_seed(argv[3 + (seed + i) % (uint64_t)(argc - 3)], &len);
        fprintf(stderr, "\r%llu", (unsigned long long)(seed + i));
        alarm(SECONDS_MAX);
        opened += replay(bytes, len);
        alarm(0);
        free(bytes);
    }
    printf("%llu of %llu images could be opened\n", (unsigned long long)opened, (unsigned long long)count);
    /* Damage that leaves nothing to look at would test nothing. */
    return opened > count / 10 ? 0 : 1;
}
