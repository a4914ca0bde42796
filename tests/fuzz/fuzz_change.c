/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of images that exist, of one format: writes, zeros, compressed clusters, flushes, another length.
 *
 * Of an image that a check finds to be sound before, all is known afterwards, too: it is sound, whether the changes
 * succeeded or not; and if they did, what was written is there, and all else is as it was. One that is not is repaired,
 * and what is sound then, as that counts, is so for a check.
 */
#include <string.h>

#include "base/checked.h"
#include "fuzz_content.h"
#include "fuzz_image.h"
#include "guest/image/io.h"
#include "guest/image/write/target.h"
#include "native.h"
#include "packed_image.h"

/* Of a disk whose content is compared. */
#define DISK_LEN_MAX (512u << 10)
/* What a file may become: a format's first block may be 2 MiB, and vhdx begins with 8. */
#define ROOM_LEN_MIN (2u << 20)
#define ROOM_LEN_MAX (16u << 20)
#define STEPS_MAX 12u

/* What is known of an image; content is NULL where nothing is. */
struct model {
    bool is_sound;
    uint8_t *content; /* DISK_LEN_MAX bytes */
    uint64_t len;     /* of the disk */
    /* Bytes of it that are compared. Tables may have clusters behind the end of a disk, which it shows when it grows.
     */
    uint64_t known_len;
};

static uint64_t room_len(void)
{
    static const char *const long_formats[] = {"vhdx", "vpc", "parallels", "vdi"};
    for (size_t i = 0; i < ARRAY_COUNT(long_formats); i++) {
        if (strcmp(fuzz_format.name, long_formats[i]) == 0) {
            return ROOM_LEN_MAX;
        }
    }
    return ROOM_LEN_MIN;
}

static struct error write_failure;
static uint32_t pending;

static void write_done(struct target_write *write UNUSED, const struct error *error)
{
    pending--;
    if (error != NULL) {
        write_failure = *error;
    }
}

static struct image *open_image(struct file *file, enum image_purpose purpose)
{
    struct error error = {0};
    struct image_setup setup = {
        .environment = native_environment(), .file = file, .format = fuzz_format.name, .purpose = purpose};
    struct image *image;
    if (!image_open(&setup, &image, &error)) {
        FUZZ_ASSERT(error_is_set(&error));
        return NULL;
    }
    if (image->backing_name.is_set && purpose == IMAGE_TO_CHANGE) {
        return NULL; /* what is behind it is not there */
    }
    return image;
}

static void machine_start(void)
{
    native_start(FUZZ_SETUP);
    native_environment()->io = io_make(native_arena(), NATIVE_IO_REQUESTS);
}

/* Whether a check finds nothing; leaks are none of a reader's business. */
static bool image_is_sound(uint8_t *memory, uint64_t len)
{
    struct error error = {0};
    instar_CheckMessage check = {0};
    machine_start();
    struct image *image = open_image(native_file_of_memory(memory, room_len(), len), IMAGE_TO_CHECK);
    bool is_sound = image != NULL;
    if (is_sound && image->format->check != NULL) {
        is_sound = image->format->check(image, 10, &check, &error) && check.corruptions == 0 && check.check_errors == 0;
    }
    native_stop();
    return is_sound;
}

/* Whether nothing is found to be malformed when it is opened; other files that it needs are not there. */
static bool image_opens(uint8_t *memory, uint64_t len)
{
    struct error error = {0};
    struct image *image;
    machine_start();
    const struct image_setup setup = {.environment = native_environment(),
                                      .file = native_file_of_memory(memory, room_len(), len),
                                      .format = fuzz_format.name,
                                      .purpose = IMAGE_TO_READ};
    bool is_open = image_open(&setup, &image, &error) || error.kind != ERROR_MALFORMED;
    native_stop();
    return is_open;
}

/* Reads the disk; false when it is too long, or cannot be read. */
static bool content_take(uint8_t *memory, uint64_t file_len, uint8_t *target, uint64_t *ret_len)
{
    struct error error = {0};
    machine_start();
    struct image *image = open_image(native_file_of_memory(memory, room_len(), file_len), IMAGE_TO_READ);
    bool is_read = image != NULL && !image->backing_name.is_set && image->virtual_len <= DISK_LEN_MAX &&
                   fuzz_content_read(image, target, &error);
    *ret_len = is_read ? image->virtual_len : 0;
    native_stop();
    return is_read;
}

static bool pending_wait(struct target *target, struct error *error)
{
    while (pending > 0) { /* ends: each round finishes what is under way */
        RETURN_IF_FAILED(io_wait(target->io, error));
    }
    if (error_is_set(&write_failure)) {
        *error = write_failure;
        return false;
    }
    return true;
}

/* Bytes that no other step writes. */
static void pattern_make(uint8_t *buffer, uint64_t len, uint64_t seed)
{
    for (uint64_t i = 0; i < len; i++) {
        buffer[i] = (uint8_t)(seed + i / 512 + 1);
    }
}

static bool step_write(struct target *target, uint64_t voff, uint64_t len, const uint8_t *buffer, struct error *error)
{
    struct target_write write = {.done = write_done};
    uint64_t done = 0;
    while (done < len) {
        uint64_t part_len = 0;
        write = (struct target_write){.done = write_done};
        pending++;
        if (!target->operations->write(target, &write, voff + done, buffer + done, len - done, &part_len, error)) {
            pending--;
            return false;
        }
        FUZZ_ASSERT(part_len > 0 && part_len <= len - done);
        done += part_len;
        RETURN_IF_FAILED(pending_wait(target, error));
    }
    return true;
}

static bool step_compress(struct target *target, uint64_t voff, const uint8_t *buffer, struct error *error)
{
    const struct target_compression compression = {.level = TARGET_LEVEL_DEFAULT};
    if (target->compress_len == 0 && (target->operations->begin_compression == NULL ||
                                      !target->operations->begin_compression(target, &compression, error))) {
        return false;
    }
    uint8_t *stream = malloc(target->compress_len);
    uint8_t *scratch = calloc(1, (size_t)max_u64(target->scratch_len, 1));
    FUZZ_ASSERT(stream != NULL && scratch != NULL);
    uint32_t len = target->operations->compress(target, (struct span){buffer, target->compress_len}, stream, scratch);
    bool success = true;
    if (len > 0) {
        struct target_write write = {.done = write_done};
        pending++;
        success = target->operations->write_compressed(target, &write, voff, (struct span){stream, len}, error);
        pending -= success ? 0 : 1;
        success = success && pending_wait(target, error);
    } else {
        success = step_write(target, voff, min_u64(target->compress_len, target->virtual_len - voff), buffer, error);
    }
    free(scratch);
    free(stream);
    return success;
}

/* One step: 4 bytes of the choices. Says in *ret_voff and *ret_len what it changed, and with which bytes. */
static bool step_run(struct target *target, struct fuzz_input *choices, uint8_t *buffer, struct model *model,
                     struct error *error)
{
    uint64_t kind = fuzz_take(choices, 1);
    uint64_t unit_len = target->unit_len;
    uint64_t units = (target->virtual_len + unit_len - 1) / unit_len;
    uint64_t voff = fuzz_take(choices, 2) % units * unit_len;
    uint64_t len = min_u64((1 + fuzz_take(choices, 1)) * unit_len, target->virtual_len - voff);
    len = min_u64(len, DISK_LEN_MAX);
    bool is_known = model->content != NULL;
    bool compresses = target->compress_len != 0 || target->operations->begin_compression != NULL;
    switch (kind % 8 == 3 && !compresses ? 4 : kind % 8) {
    case 0:
        return target->operations->flush == NULL || target->operations->flush(target, error);
    case 1:
    case 2:
        if (is_known) {
            memset(model->content + voff, 0, len);
        }
        return target->operations->zero(target, voff, len, error);
    case 3: {
        struct target_compression compression = {.level = TARGET_LEVEL_DEFAULT};
        if (target->compress_len == 0 && (target->operations->begin_compression == NULL ||
                                          !target->operations->begin_compression(target, &compression, error))) {
            return false;
        }
        voff = round_down(voff, target->compress_len);
        len = min_u64(target->compress_len, target->virtual_len - voff);
        memset(buffer, 0, target->compress_len);
        pattern_make(buffer, len, kind);
        if (is_known) {
            memcpy(model->content + voff, buffer, len);
        }
        return step_compress(target, voff, buffer, error);
    }
    default:
        pattern_make(buffer, len, kind);
        if (is_known) {
            memcpy(model->content + voff, buffer, len);
        }
        return step_write(target, voff, len, buffer, error);
    }
}

static bool steps_run(struct image *image, struct fuzz_input *choices, struct model *model, struct error *error)
{
    struct target *target;
    RETURN_IF_FAILED(target_open_image(image, &target, error));
    uint8_t *buffer = fuzz_memory(0, DISK_LEN_MAX + FORMAT_CLUSTER_LEN_MAX);
    bool success = target->virtual_len > 0;
    for (uint32_t i = 0; i < STEPS_MAX && choices->len >= 4 && success; i++) {
        success = step_run(target, choices, buffer, model, error);
    }
    success = success && target->operations->finish(target, false, error);
    return success;
}

static bool resize_run(struct image *image, struct fuzz_input *choices, struct model *model, struct error *error)
{
    struct resize_plan plan = {
        .virtual_len = max_u64(fuzz_take(choices, 3), 1) * 512 % (4 * DISK_LEN_MAX),
        .preallocation = (enum resize_preallocation)(fuzz_take(choices, 1) % 4),
    };
    plan.virtual_len = max_u64(plan.virtual_len, 512);
    RETURN_IF_FAILED(image->format->resize(image, &plan, error));
    if (plan.virtual_len > DISK_LEN_MAX) {
        model->content = NULL;
    }
    if (model->content != NULL) {
        model->known_len = min_u64(model->len, plan.virtual_len);
        model->len = plan.virtual_len;
    }
    return true;
}

/* Runs what the choices say; *ret_len is the file's length afterwards. */
static bool change(const struct packed_image *packed, struct model *model, uint64_t *ret_len)
{
    struct error error = {0};
    struct fuzz_input choices = {packed->choices, sizeof(packed->choices)};
    write_failure = (struct error){0};
    pending = 0;
    machine_start();
    struct file *file = native_file_of_memory(packed->bytes, room_len(), packed->len);
    struct image *image = open_image(file, IMAGE_TO_CHANGE);
    bool success = false;
    if (image != NULL) {
        bool resizes = fuzz_take(&choices, 1) % 8 == 0 && image->format->resize != NULL;
        success = resizes ? resize_run(image, &choices, model, &error) : steps_run(image, &choices, model, &error);
        FUZZ_ASSERT(success || error_is_set(&error) || image->virtual_len == 0);
    }
    *ret_len = file->len;
    native_stop();
    return success;
}

static void result_check(const struct packed_image *packed, const struct model *model, bool success, uint64_t len)
{
    if (!model->is_sound) {
        return;
    }
    FUZZ_ASSERT(image_is_sound(packed->bytes, len));
    if (!success || model->content == NULL) {
        return;
    }
    uint8_t *content = fuzz_memory(1, DISK_LEN_MAX);
    uint64_t disk_len;
    FUZZ_ASSERT(content_take(packed->bytes, len, content, &disk_len));
    FUZZ_ASSERT(disk_len == model->len);
    FUZZ_ASSERT(memcmp(content, model->content, model->known_len) == 0);
}

/* A damaged image: what is sound after its repair, as that counts, is so for a check. */
static void repair_check(const struct packed_image *packed, uint64_t len)
{
    struct error error = {0};
    instar_CheckMessage result = {0};
    const struct repair_plan plan = {
        .fixes_leaks = true, .fixes_errors = packed->choices[0] % 4 != 0, .findings_max = 10};
    machine_start();
    struct file *file = native_file_of_memory(packed->bytes, room_len(), len);
    struct image *image = open_image(file, plan.fixes_errors ? IMAGE_TO_REPAIR : IMAGE_TO_CHECK);
    bool success = image != NULL && image->format->repair(image, &plan, &result, &error);
    FUZZ_ASSERT(image == NULL || success || error_is_set(&error));
    len = file->len;
    native_stop();
    if (success && result.corruptions == 0 && result.check_errors == 0) {
        FUZZ_ASSERT(image_is_sound(packed->bytes, len));
        FUZZ_ASSERT(!plan.fixes_errors || image_opens(packed->bytes, len));
    }
}

size_t fuzz_mutate(uint8_t *data, size_t len, size_t max_len, uint32_t random)
{
    return packed_image_mutate(data, len, max_len, random);
}

void fuzz_one(const uint8_t *data, size_t len)
{
    struct packed_image packed;
    packed_image_unpack(&packed, data, len, room_len());
    packed.len = min_u64(packed.len, room_len());
    if (fuzz_format.repair != NULL) {
        fuzz_format.repair(packed.bytes, min_u64(packed.stored_len, packed.len));
    }
    struct model model = {
        .is_sound = image_is_sound(packed.bytes, packed.len),
        .content = fuzz_memory(2, DISK_LEN_MAX),
    };
    if (!model.is_sound || !content_take(packed.bytes, packed.len, model.content, &model.len)) {
        model.content = NULL;
    }
    model.known_len = model.len;
    uint64_t file_len;
    bool success = change(&packed, &model, &file_len);
    result_check(&packed, &model, success, file_len);
    if (!model.is_sound && format_find(fuzz_format.name)->repair != NULL) {
        repair_check(&packed, file_len);
    }
    packed_image_release(&packed);
}
