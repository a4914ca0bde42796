/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that reads an image, on any bytes: opening, describing, snapshots, bitmaps, map, decompressing, checking;
 * and whole operations on it, with the messages that they send. Which format, formats/NAME.c says.
 *
 * Of the choices (packed_image.h), the first says what is done, and the others in which steps.
 */
#include "fuzz_image.h"

#include <string.h>

#include "base/checked.h"
#include "fuzz_content.h"
#include "guest/image/image_file.h"
#include "guest/image/io.h"
#include "native.h"
#include "packed_image.h"

/* Calls of map, and compressed clusters, that are looked at of an image. */
#define MAP_CALLS_MAX 2048u
#define CLUSTERS_MAX 32u
/* Whole operations go over the whole disk. */
#define OPERATION_DISK_LEN_MAX (4ull << 20)
#define TARGET_LEN_MAX (8u << 20)
#define BITMAP_READS_MAX 64u
/* A check looks at every cluster of the file; how long it may take in all is for limits of the job. */
#define CHECKED_LEN_MAX (32u << 20)

static void map_all(struct image *image, struct fuzz_input *choices)
{
    struct error error = {0};
    uint32_t clusters = 0;
    uint64_t voff = 0;
    for (uint32_t calls = 0; voff < image->virtual_len && calls < MAP_CALLS_MAX; calls++) {
        struct chain_extent chain = {.depth = 0};
        uint64_t step = fuzz_take(choices, 2);
        uint64_t len = step != 0 ? step * 509 : UINT64_MAX;
        if (!image_map(image, voff, len, &chain, &error)) {
            FUZZ_ASSERT(error_is_set(&error));
            error = (struct error){0};
            voff += 1 + step + image->cluster_len;
            continue;
        }
        const struct extent *extent = &chain.extent;
        FUZZ_ASSERT(extent->voff == voff && extent->len > 0);
        FUZZ_ASSERT(extent->len <= min_u64(len, image->virtual_len - voff));
        if (extent->kind == EXTENT_COMPRESSED && clusters++ < CLUSTERS_MAX) {
            struct extent own = image_own_extent(extent);
            uint8_t *cluster = fuzz_decompress((struct image *)(uintptr_t)chain.image, &own, &error);
            free(cluster);
            error = (struct error){0};
        }
        voff += extent->len;
    }
}

static void bitmaps_read(struct image *image)
{
    struct image_bitmap_walk walk = {0};
    struct image_bitmap bitmap = {0};
    struct error error = {0};
    uint8_t bits[512];
    bool is_end = false;
    uint64_t off = 0;
    while (image->format->bitmap_next != NULL && image->format->bitmap_next(image, &walk, &is_end, &bitmap, &error) &&
           !is_end) { /* ends: the format bounds their number */
        for (uint32_t i = 0; i < BITMAP_READS_MAX; i++, off += sizeof(bits)) {
            if (!image->format->bitmap_read(image, &bitmap, off, bits, sizeof(bits), &error)) {
                error = (struct error){0};
                break;
            }
        }
    }
}

/* The image in the file, or the one within its disk; nothing else is opened. */
static bool open_alone(struct file *file, enum image_purpose purpose, struct image **ret_image, struct error *error)
{
    struct image_setup setup = {
        .environment = native_environment(), .file = file, .format = fuzz_format.name, .purpose = purpose};
    struct image *image;
    setup.purpose = fuzz_format.is_outer ? IMAGE_TO_READ : purpose;
    RETURN_IF_FAILED(image_open(&setup, &image, error));
    image->backing_name.is_set = false;
    if (fuzz_format.is_outer) {
        setup = (struct image_setup){
            .environment = image_file_environment(image), .format = fuzz_format.inner_name, .purpose = purpose};
        FUZZ_ASSERT(setup.environment != NULL);
        RETURN_IF_FAILED(image_file_make(image, &setup.file, error) && image_open(&setup, &image, error));
        image->backing_name.is_set = false;
    }
    *ret_image = image;
    return true;
}

static void image_use(struct file *file, enum image_purpose purpose, struct fuzz_input *choices)
{
    struct error error = {0};
    struct image *image;
    instar_CheckMessage check = {0};
    instar_SnapshotChoice snapshot = {.id_or_name = {.size = 1, .bytes = {'1'}}};
    if (!open_alone(file, purpose, &image, &error)) {
        FUZZ_ASSERT(error_is_set(&error));
        return;
    }
    if (purpose == IMAGE_TO_DESCRIBE && image->format->describe != NULL) {
        (void)image->format->describe(image, &error);
    } else if (purpose == IMAGE_TO_CHECK && image->format->check != NULL && image->file->len <= CHECKED_LEN_MAX) {
        (void)image->format->check(image, 100, &check, &error);
    } else if (purpose == IMAGE_TO_READ) {
        bitmaps_read(image);
        map_all(image, choices);
        if (image->format->select_snapshot != NULL && image->format->select_snapshot(image, &snapshot, &error)) {
            map_all(image, choices);
        }
    }
}

static void convert_fill(instar_ConvertRequest *convert, struct fuzz_input *choices)
{
    uint64_t flags = fuzz_take(choices, 1);
    snprintf(convert->target_format, sizeof(convert->target_format), "%s", (flags & 1) != 0 ? "qcow2" : "raw");
    convert->target_device = 1;
    convert->sparse_len = (flags & 2) != 0 ? 4096 : 0;
    convert->salvage = (flags & 4) != 0;
    convert->compress = (flags & 9) == 9;
    convert->bitmaps = (flags & 17) == 17;
    convert->skip_broken_bitmaps = (flags & 32) != 0;
    if ((flags & 65) == 1) { /* small clusters are fast to write */
        convert->options_count = 1;
        snprintf(convert->options[0].name, sizeof(convert->options[0].name), "%s", "cluster_size");
        snprintf(convert->options[0].value, sizeof(convert->options[0].value), "%s", "4096");
    }
}

static void operation_fill(instar_ImageJob *job, struct fuzz_input *choices)
{
    switch (fuzz_take(choices, 1) % 6) {
    case 0:
        job->which_operation = instar_ImageJob_info_tag;
        job->operation.info.backing_chain = true;
        break;
    case 1:
        job->which_operation = instar_ImageJob_check_tag;
        job->operation.check.findings_max = 100;
        break;
    case 2:
        job->which_operation = instar_ImageJob_map_tag;
        job->operation.map.start = fuzz_take(choices, 2);
        job->operation.map.length = UINT64_MAX;
        break;
    case 3:
        job->which_operation = instar_ImageJob_measure_tag;
        snprintf(job->operation.measure.target_format, sizeof(job->operation.measure.target_format), "%s", "qcow2");
        break;
    case 4:
        job->which_operation = instar_ImageJob_compare_tag;
        job->sources[1] = job->sources[0];
        job->sources[1].device = 1;
        job->sources_count = 2;
        break;
    default:
        job->which_operation = instar_ImageJob_convert_tag;
        convert_fill(&job->operation.convert, choices);
        break;
    }
}

static bool disk_is_short(const struct packed_image *packed, uint64_t *ret_len)
{
    struct error error = {0};
    struct file *file = native_file_of_bytes(packed->bytes, packed->stored_len, packed->len);
    struct image *image;
    bool is_short = packed->len <= CHECKED_LEN_MAX && open_alone(file, IMAGE_TO_DESCRIBE, &image, &error) &&
                    image->virtual_len <= OPERATION_DISK_LEN_MAX && image->file->len <= CHECKED_LEN_MAX;
    *ret_len = is_short ? image->virtual_len : 0;
    return is_short;
}

static void operation_use(const struct packed_image *packed, struct fuzz_input *choices)
{
    static instar_ImageJob job;
    struct error error = {0};
    uint64_t disk_len;
    native_start(FUZZ_SETUP);
    bool is_short = disk_is_short(packed, &disk_len);
    native_stop();
    if (!is_short) {
        return;
    }
    job = (instar_ImageJob){.sources_count = 1};
    snprintf(job.sources[0].format, sizeof(job.sources[0].format), "%s", fuzz_format.name);
    operation_fill(&job, choices);
    uint32_t file_count = job.sources_count;
    for (uint32_t i = 0; i < file_count && fuzz_format.is_outer; i++) {
        instar_ImageSource *inner = &job.sources[job.sources_count++];
        *inner = (instar_ImageSource){.within = (uint8_t)(i + 1)};
        snprintf(inner->format, sizeof(inner->format), "%s", fuzz_format.inner_name);
    }
    native_start(FUZZ_SETUP);
    uint8_t *memory = fuzz_memory(0, TARGET_LEN_MAX);
    struct file *sources[4] = {NULL};
    for (uint32_t i = 0; i < file_count; i++) {
        sources[i] = native_file_of_bytes(packed->bytes, packed->stored_len, packed->len);
    }
    bool is_raw = job.operation.convert.target_format[0] == 'r';
    struct file *target = job.which_operation == instar_ImageJob_convert_tag
                              ? native_file_of_memory(memory, TARGET_LEN_MAX, is_raw ? disk_len : 0)
                              : NULL;
    (void)native_run_job_on(&job, sources, target, &error);
    if (target != NULL) {
        memset(memory, 0, (size_t)target->len);
    }
    native_stop();
}

size_t fuzz_mutate(uint8_t *data, size_t len, size_t max_len, uint32_t random)
{
    return packed_image_mutate(data, len, max_len, random);
}

void fuzz_one(const uint8_t *data, size_t len)
{
    static const enum image_purpose purposes[] = {IMAGE_TO_DESCRIBE, IMAGE_TO_READ, IMAGE_TO_CHECK};
    struct packed_image packed;
    packed_image_unpack(&packed, data, len, 0);
    if (fuzz_format.repair != NULL) {
        fuzz_format.repair(packed.bytes, packed.stored_len);
    }
    struct fuzz_input choices = {packed.choices, sizeof(packed.choices)};
    uint64_t what = fuzz_take(&choices, 1) % (ARRAY_COUNT(purposes) + 1);
    if (what == ARRAY_COUNT(purposes)) {
        operation_use(&packed, &choices);
    } else {
        native_start(FUZZ_SETUP);
        native_environment()->io = io_make(native_arena(), NATIVE_IO_REQUESTS);
        image_use(native_file_of_bytes(packed.bytes, packed.stored_len, packed.len), purposes[what], &choices);
        native_stop();
    }
    packed_image_release(&packed);
}
