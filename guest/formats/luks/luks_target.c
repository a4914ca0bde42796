/* SPDX-License-Identifier: Apache-2.0 */
/* A LUKS image that is written: the header of a new one first, then every sector at its place behind it. */
#include "guest/formats/luks/luks_target.h"

#include <string.h>

#include "base/checked.h"
#include "guest/crypto/luks_new.h"
#include "guest/formats/luks/luks.h"
#include "guest/image/image.h"
#include "guest/image/option_values.h"
#include "guest/image/write/cipher_writer.h"
#include "guest/image/write/target.h"

/* Zeros that may be under way. */
#define ZEROINGS_MAX 4u

struct luks_zeroing {
    struct io_request request;
    struct luks_target *luks;
    bool is_busy;
};

struct luks_target {
    struct target target; /* first */
    struct cipher_writer *writer;
    uint64_t payload_off;
    struct luks_zeroing zeroings[ZEROINGS_MAX];
};

bool luks_check_version(const struct luks *luks, struct error *error)
{
    return luks->luks2 == NULL ||
           error_set(error, ERROR_UNSUPPORTED, NULL, "changing a LUKS volume of version 2 is not supported");
}

static struct luks_target *luks_of(struct target *target)
{
    return (struct luks_target *)target;
}

static bool luks_write(struct target *target, struct target_write *write, uint64_t voff, const void *data, uint64_t len,
                       uint64_t *ret_len, struct error *error)
{
    struct luks_target *luks = luks_of(target);
    uint64_t part_len = min_u64(len, CIPHER_WRITE_LEN_MAX);
    RETURN_IF_FAILED(target_check(target, error));
    target_begin_write(target, write);
    *ret_len = part_len; /* before `done`, which may come while this waits */
    if (!cipher_write(luks->writer, &write->request, target->file, luks->payload_off + voff, voff, data, part_len,
                      error)) {
        target->pending--;
        return false;
    }
    return true;
}

static void zeroing_done(struct io_request *request, const struct error *error)
{
    struct luks_zeroing *zeroing = request->owner;
    zeroing->is_busy = false;
    target_request_done(&zeroing->luks->target, error);
}

static bool zeroing_take(struct luks_target *luks, struct luks_zeroing **ret_zeroing, struct error *error)
{
    for (;;) { /* ends: writes are done at some time */
        for (uint32_t i = 0; i < ZEROINGS_MAX; i++) {
            if (!luks->zeroings[i].is_busy) {
                *ret_zeroing = &luks->zeroings[i];
                return true;
            }
        }
        RETURN_IF_FAILED(io_wait(luks->target.io, error));
    }
}

/* What reads as zeros is encrypted as everything else. */
static bool luks_zero(struct target *target, uint64_t voff, uint64_t len, struct error *error)
{
    struct luks_target *luks = luks_of(target);
    uint64_t end = min_u64(voff + len, target->virtual_len);
    while (voff < end) { /* ends: each round writes a part */
        struct luks_zeroing *zeroing;
        uint64_t part_len = min_u64(end - voff, CIPHER_WRITE_LEN_MAX);
        RETURN_IF_FAILED(target_check(target, error));
        RETURN_IF_FAILED(zeroing_take(luks, &zeroing, error));
        zeroing->is_busy = true;
        zeroing->luks = luks;
        zeroing->request = (struct io_request){.done = zeroing_done, .owner = zeroing};
        target->pending++;
        if (!cipher_write(luks->writer, &zeroing->request, target->file, luks->payload_off + voff, voff, NULL, part_len,
                          error)) {
            target->pending--;
            return false;
        }
        voff += part_len;
    }
    return target_check(target, error);
}

static bool luks_finish(struct target *target, bool sync, struct error *error)
{
    return sync ? target_flush_file(target, target->file, error) : target_settle(target, error);
}

static bool luks_flush(struct target *target, struct error *error)
{
    return luks_finish(target, true, error);
}

static const struct target_operations luks_target_operations = {
    .write = luks_write,
    .zero = luks_zero,
    .finish = luks_finish,
    .flush = luks_flush,
};

static bool make(struct image_environment *environment, struct file *file, uint64_t virtual_len, uint64_t payload_off,
                 const struct data_cipher *cipher, struct luks_target **ret_luks, struct error *error)
{
    struct luks_target *luks = arena_allocate(environment->arena, sizeof(*luks), _Alignof(struct luks_target));
    if (luks == NULL) {
        return error_set(error, ERROR_LIMIT, file->name, "no memory is left for the image");
    }
    *luks = (struct luks_target){
        .target =
            {
                .operations = &luks_target_operations,
                .file = file,
                .io = environment->io,
                .virtual_len = virtual_len,
                .unit_len = LUKS_SECTOR_LEN,
            },
        .payload_off = payload_off,
    };
    RETURN_IF_FAILED(cipher == NULL ||
                     cipher_writer_make(environment->arena, environment->io, cipher, &luks->writer, error));
    *ret_luks = luks;
    return true;
}

/* Sets *ret_is_reserved when the option says that storage is to be there from the start. */
static bool options_check_all(const instar_FormatOption *options, uint32_t count, bool *ret_is_reserved,
                              struct error *error)
{
    static const struct option_description known[] = OPTION_DESCRIPTIONS(FORMAT_OPTIONS_LUKS);
    RETURN_IF_FAILED(options_check(options, count, known, error));
    const instar_FormatOption *preallocation = options_find(options, count, "preallocation");
    bool is_metadata = preallocation != NULL && strcmp(preallocation->value, "metadata") == 0;
    /* What there is of metadata is the header, which is written anyway: QEMU takes that for "off". */
    RETURN_IF_FAILED(is_metadata || options_check_file_preallocation(options, count, NULL, error));
    *ret_is_reserved = preallocation != NULL && !is_metadata && strcmp(preallocation->value, "off") != 0;
    return true;
}

/* A new file gets its length, with storage if it is wanted; another one must have it. In QEMU's words. */
static bool len_set(struct luks_target *luks, uint64_t file_len, bool is_reserved, struct error *error)
{
    struct target *target = &luks->target;
    struct file *file = target->file;
    if (!file->is_resizable) {
        return file->len >= file_len || error_set(error, ERROR_USAGE, file->name, "Cannot grow device files");
    }
    RETURN_IF_FAILED(target_set_len(target, file, file_len, error));
    if (is_reserved) {
        struct io_request request = target_own_request(target);
        io_write_zeroes(target->io, &request, file, 0, file_len, false);
        return target_settle(target, error);
    }
    return true;
}

/* A header of its own is made without data. */
static bool header_is_within(const struct luks_options *options, struct error *error)
{
    return !options->is_detached ||
           error_set(error, ERROR_UNSUPPORTED, NULL,
                     "'detached-header' is for create: then convert -n writes to the image that names the header");
}

bool luks_create(const struct target_setup *setup, struct target **ret_target, struct error *error)
{
    struct luks_options options;
    struct luks_target *luks;
    struct luks_new made;
    struct image_key key;
    bool is_reserved;
    uint64_t file_len;
    RETURN_IF_FAILED(options_check_all(setup->options, setup->option_count, &is_reserved, error));
    RETURN_IF_FAILED(luks_options_parse(setup->options, setup->option_count, "", &options, error));
    RETURN_IF_FAILED(target_check_plain(setup, "luks", error));
    RETURN_IF_FAILED(setup->is_for_create || header_is_within(&options, error));
    RETURN_IF_FAILED(luks_new_key(&options, setup->environment, "", &key, error));
    struct span random = {setup->identity->random, sizeof(setup->identity->random)};
    RETURN_IF_FAILED(luks_new_make(&options, key.secret, random, setup->environment, &made, error));
    uint64_t disk_len = options.is_detached ? 0 : setup->virtual_len;
    if (!checked_add(made.payload_off, disk_len, &file_len) || file_len > FILE_END_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "The requested file size is too large");
    }
    RETURN_IF_FAILED(
        make(setup->environment, setup->file, disk_len, made.payload_off, &made.cipher->data, &luks, error));
    RETURN_IF_FAILED(len_set(luks, file_len, is_reserved, error));
    /* Of a device, what was there before is no key slot. */
    struct target *target = &luks->target;
    struct io_request clear = target_own_request(target);
    io_write_zeroes(target->io, &clear, target->file, made.head.len, made.payload_off - made.head.len, true);
    RETURN_IF_FAILED(target_settle(target, error));
    struct io_request head = target_own_request(target);
    io_write(target->io, &head, target->file, 0, made.head.data, made.head.len);
    RETURN_IF_FAILED(target_settle(target, error));
    *ret_target = target;
    return true;
}

bool luks_open_target(struct image *image, struct target **ret_target, struct error *error)
{
    const struct luks_header *header = ((const struct luks *)image->state)->header;
    struct file *file = image->file;
    struct luks_target *luks;
    RETURN_IF_FAILED(luks_check_version(image->state, error));
    if (file->len % LUKS_SECTOR_LEN != 0) {
        return error_set(error, ERROR_UNSUPPORTED, file->name,
                         "writing to an image whose file ends within a sector is not supported");
    }
    RETURN_IF_FAILED(
        make(image->environment, file, image->virtual_len, header->payload_off, image->cipher, &luks, error));
    *ret_target = &luks->target;
    return true;
}

/* As QEMU has it, what a longer disk has is whatever the file's zeros are decrypted to. */
bool luks_resize(struct image *image, const struct resize_plan *plan, struct error *error)
{
    const struct luks_header *header = ((const struct luks *)image->state)->header;
    struct file *file = image->file;
    struct luks_target *luks;
    RETURN_IF_FAILED(luks_check_version(image->state, error));
    uint64_t old_len = file->len;
    uint64_t file_len;
    if (plan->preallocation == RESIZE_PREALLOCATE_METADATA) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Unsupported preallocation mode: metadata");
    }
    if (!checked_add(header->payload_off, plan->virtual_len, &file_len) || file_len > FILE_END_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "The requested file size is too large");
    }
    if (!file->is_resizable) {
        return file_len == old_len || error_set(error, ERROR_UNSUPPORTED, NULL, "Cannot resize device files");
    }
    RETURN_IF_FAILED(make(image->environment, file, image->virtual_len, header->payload_off, NULL, &luks, error));
    struct target *target = &luks->target;
    RETURN_IF_FAILED(target_set_len(target, file, file_len, error));
    uint64_t start = round_up(old_len, LUKS_SECTOR_LEN);
    if (plan->preallocation != RESIZE_PREALLOCATE_OFF && file_len > start) {
        struct io_request request = target_own_request(target);
        io_write_zeroes(target->io, &request, file, start, file_len - start, false);
        struct error problem = {0};
        if (!target_settle(target, &problem)) {
            target->error = (struct error){0};
            struct error ignored = {0};
            bool is_back = target_set_len(target, file, old_len, &ignored);
            (void)is_back; /* the first error is the one to tell */
            *error = problem;
            return false;
        }
    }
    return luks_finish(target, plan->sync, error);
}

bool luks_measure(const struct measure_request *request, instar_MeasureMessage *ret_result, struct error *error)
{
    struct luks_options options;
    struct image_key key;
    bool is_reserved;
    uint64_t payload_off, len;
    RETURN_IF_FAILED(options_check_all(request->options, request->option_count, &is_reserved, error));
    RETURN_IF_FAILED(luks_options_parse(request->options, request->option_count, "", &options, error));
    RETURN_IF_FAILED(header_is_within(&options, error));
    RETURN_IF_FAILED(luks_new_key(&options, request->environment, "", &key, error));
    RETURN_IF_FAILED(luks_new_payload_off(&options, &payload_off, error));
    if (!checked_add(request->virtual_len, payload_off, &len)) {
        return error_set(error, ERROR_USAGE, NULL, "The requested file size is too large");
    }
    ret_result->required = len;
    ret_result->fully_allocated = len;
    return true;
}
