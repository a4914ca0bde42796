/* SPDX-License-Identifier: Apache-2.0 */
/* A raw image that is written: every byte goes where it is on the disk. */
#include <string.h>

#include "base/checked.h"
#include "base/units.h"
#include "guest/formats/raw/raw.h"
#include "guest/image/image.h"
#include "guest/image/option_values.h"
#include "guest/image/write/target.h"

/* Zeroing that may be under way. */
#define ZEROINGS_MAX 16u
/* Of one zeroing: so that progress is seen and a job's end is heard. */
#define ZEROING_LEN_MAX (1ull << 30)

struct raw_target;

struct raw_zeroing {
    struct io_request request;
    struct raw_target *raw;
    struct raw_zeroing *next_free;
};

struct raw_target {
    struct target target; /* first */
    bool stores_zeros;
    bool is_reserved;   /* there is storage for everything, and it is to stay */
    bool reads_as_zero; /* where nothing was written */
    struct raw_zeroing *free;
    struct raw_zeroing zeroings[ZEROINGS_MAX];
};

static struct raw_target *raw_of(struct target *target)
{
    return (struct raw_target *)target;
}

static bool raw_write(struct target *target, struct target_write *write, uint64_t voff, const void *data, uint64_t len,
                      uint64_t *ret_len, struct error *error)
{
    RETURN_IF_FAILED(target_check(target, error));
    target_begin_write(target, write);
    /* What exists may end within a sector. */
    io_write(target->io, &write->request, target->file, voff, data, min_u64(len, target->file->len - voff));
    *ret_len = len;
    return true;
}

static bool raw_copy(struct target *target, struct target_write *write, uint64_t voff, struct file *source,
                     uint64_t source_off, uint64_t len, uint32_t zero_len, uint64_t *ret_len, struct error *error)
{
    struct raw_target *raw = raw_of(target);
    RETURN_IF_FAILED(target_check(target, error));
    target_begin_write(target, write);
    len = min_u64(len, target->file->len - voff);
    io_copy(target->io, &write->request, source, source_off, target->file, voff, len, raw->is_reserved ? 0 : zero_len);
    *ret_len = len;
    return true;
}

static void zeroing_done(struct io_request *request, const struct error *error)
{
    struct raw_zeroing *zeroing = request->owner;
    struct raw_target *raw = zeroing->raw;
    target_request_done(&raw->target, error);
    zeroing->next_free = raw->free;
    raw->free = zeroing;
}

/* Zeros that are stored, or whose storage may go. */
static bool write_zeroes(struct raw_target *raw, uint64_t voff, uint64_t len, bool may_unmap, struct error *error)
{
    uint64_t end = min_u64(voff + len, raw->target.file->len);
    while (voff < end) { /* ends: each round goes on by a part */
        while (raw->free == NULL) {
            RETURN_IF_FAILED(io_wait(raw->target.io, error));
        }
        struct raw_zeroing *zeroing = raw->free;
        uint64_t part_len = min_u64(end - voff, ZEROING_LEN_MAX);
        raw->free = zeroing->next_free;
        zeroing->request = (struct io_request){.done = zeroing_done, .owner = zeroing};
        raw->target.pending++;
        io_write_zeroes(raw->target.io, &zeroing->request, raw->target.file, voff, part_len, may_unmap);
        voff += part_len;
    }
    return target_check(&raw->target, error);
}

static bool raw_zero(struct target *target, uint64_t voff, uint64_t len, struct error *error)
{
    struct raw_target *raw = raw_of(target);
    RETURN_IF_FAILED(target_check(target, error));
    if (raw->reads_as_zero && (!raw->stores_zeros || raw->is_reserved)) {
        return true;
    }
    return write_zeroes(raw, voff, len, !raw->stores_zeros, error);
}

static bool raw_finish(struct target *target, bool sync, struct error *error)
{
    return sync ? target_flush_file(target, target->file, error) : target_settle(target, error);
}

static bool raw_flush(struct target *target, struct error *error)
{
    return raw_finish(target, true, error);
}

static const struct target_operations raw_target_operations = {
    .write = raw_write,
    .copy = raw_copy,
    .zero = raw_zero,
    .finish = raw_finish,
    .flush = raw_flush,
};

/* Sets *ret_is_reserved when the option says that storage is to be there from the start. */
static bool options_parse(const struct target_setup *setup, bool *ret_is_reserved, struct error *error)
{
    static const char *const modes[] = {"off", "falloc", "full", NULL};
    uint32_t mode = 0;
    for (uint32_t i = 0; i < setup->option_count; i++) {
        if (strcmp(setup->options[i].name, "preallocation") != 0) {
            return option_unknown(&setup->options[i], error);
        }
        RETURN_IF_FAILED(option_choice(&setup->options[i], modes, "preallocation", &mode, error));
    }
    *ret_is_reserved = mode > 0;
    return true;
}

/* A new file gets the disk's length; another one must have it. In QEMU's words. */
static bool len_set(struct raw_target *raw, struct error *error)
{
    struct file *file = raw->target.file;
    if (file->is_resizable) {
        return target_set_len(&raw->target, raw->target.file, raw->target.virtual_len, error);
    }
    uint64_t len;
    if (!checked_round_up(file->len, SECTOR_LEN, &len) || len < raw->target.virtual_len) {
        return error_set(error, ERROR_USAGE, file->name, "Cannot grow device files");
    }
    return true;
}

static bool make(struct image_environment *environment, struct file *file, uint64_t virtual_len,
                 struct raw_target **ret_raw, struct error *error)
{
    struct raw_target *raw = arena_allocate(environment->arena, sizeof(*raw), _Alignof(struct raw_target));
    if (raw == NULL) {
        return error_set(error, ERROR_LIMIT, file->name, "no memory is left for the image");
    }
    *raw = (struct raw_target){
        .target =
            {
                .operations = &raw_target_operations,
                .file = file,
                .io = environment->io,
                .virtual_len = virtual_len,
                .unit_len = SECTOR_LEN,
                .takes_copies = file->takes_copies,
                .detects_zeros = true,
            },
    };
    for (uint32_t i = 0; i < ZEROINGS_MAX; i++) {
        raw->zeroings[i].raw = raw;
        raw->zeroings[i].next_free = raw->free;
        raw->free = &raw->zeroings[i];
    }
    *ret_raw = raw;
    return true;
}

bool raw_open_target(struct image *image, struct target **ret_target, struct error *error)
{
    struct raw_target *raw;
    RETURN_IF_FAILED(make(image->environment, image->file, image->virtual_len, &raw, error));
    *ret_target = &raw->target;
    return true;
}

/* Storage for all that is new. If there is not enough, the file gets its old length back, as in QEMU. */
static bool reserve(struct raw_target *raw, uint64_t off, uint64_t len, uint64_t old_len, struct error *error)
{
    struct target *target = &raw->target;
    if (write_zeroes(raw, off, len, false, error) && target_settle(target, error)) {
        return true;
    }
    struct error ignored = {0};
    bool is_settled = target_settle(target, &ignored);
    target->error = (struct error){0};
    is_settled = target_set_len(target, target->file, old_len, &ignored);
    (void)is_settled; /* the first error is the one to tell */
    return false;
}

bool raw_resize(struct image *image, const struct resize_plan *plan, struct error *error)
{
    struct file *file = image->file;
    struct raw_target *raw;
    if (plan->preallocation == RESIZE_PREALLOCATE_METADATA) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Unsupported preallocation mode: metadata");
    }
    if (!file->is_resizable) {
        return plan->virtual_len == file->len ||
               error_set(error, ERROR_UNSUPPORTED, NULL, "Cannot resize device files");
    }
    uint64_t file_len = file->len;
    uint64_t old_len = round_up(file_len, SECTOR_LEN);
    RETURN_IF_FAILED(make(image->environment, file, image->virtual_len, &raw, error));
    RETURN_IF_FAILED(target_set_len(&raw->target, raw->target.file, plan->virtual_len, error));
    if (plan->preallocation != RESIZE_PREALLOCATE_OFF && plan->virtual_len > old_len) {
        RETURN_IF_FAILED(reserve(raw, old_len, plan->virtual_len - old_len, file_len, error));
    }
    return raw_finish(&raw->target, plan->sync, error);
}

bool raw_create(const struct target_setup *setup, struct target **ret_target, struct error *error)
{
    bool is_reserved = false;
    struct raw_target *raw;
    RETURN_IF_FAILED(options_parse(setup, &is_reserved, error));
    RETURN_IF_FAILED(target_check_plain(setup, "raw", error));
    RETURN_IF_FAILED(make(setup->environment, setup->file, setup->virtual_len, &raw, error));
    raw->stores_zeros = setup->stores_zeros;
    raw->reads_as_zero = setup->file->reads_as_zero;
    RETURN_IF_FAILED(len_set(raw, error));
    if (is_reserved) {
        RETURN_IF_FAILED(write_zeroes(raw, 0, setup->virtual_len, false, error) && target_settle(&raw->target, error));
        raw->is_reserved = true;
        raw->reads_as_zero = true;
    }
    *ret_target = &raw->target;
    return true;
}
