/* SPDX-License-Identifier: Apache-2.0 */
#include "test_qcow2_modify_support.h"

#include "base/checked.h"
#include "base/text.h"
#include "guest/formats/qcow2/change/qcow2_change.h"
#include "guest/image/io.h"

struct error error;
char warning[256];

static uint8_t memory[ROOM_LEN];
static uint8_t other_memory[ROOM_LEN / 4];

static void on_message(const instar_GuestMessage *message, void *context)
{
    (void)context;
    if (message->which_kind == instar_GuestMessage_warning_tag) {
        text_copy(warning, sizeof(warning), message->kind.warning.text);
    }
}

void images_start(void)
{
    error = (struct error){0};
    warning[0] = '\0';
    native_start(&(struct native_setup){.on_message = on_message});
    native_environment()->io = io_make(native_arena(), NATIVE_IO_REQUESTS);
}

void images_stop(void)
{
    native_stop();
}

int images_setup(void **state)
{
    (void)state;
    images_start();
    return 0;
}

int images_teardown(void **state)
{
    (void)state;
    images_stop();
    return 0;
}

static instar_FormatOption option(const char *name, const char *value)
{
    instar_FormatOption made = {0};
    text_copy(made.name, sizeof(made.name), name);
    text_copy(made.value, sizeof(made.value), value);
    return made;
}

static struct file *make(uint8_t *bytes, uint64_t room_len, const char *refcount_bits, uint64_t disk_len)
{
    static instar_ImageIdentity identity;
    struct file *file = native_file_of_memory(bytes, room_len, 0);
    const instar_FormatOption options[] = {option("cluster_size", "512"), option("refcount_bits", refcount_bits)};
    struct target_setup setup = {
        .environment = native_environment(),
        .file = file,
        .options = options,
        .option_count = 2,
        .backing_format = "",
        .identity = &identity,
        .compression.level = TARGET_LEVEL_DEFAULT,
        .virtual_len = disk_len,
    };
    struct target *target;
    assert_true(target_create("qcow2", &setup, &target, &error));
    assert_true(target->operations->finish(target, false, &error));
    return file;
}

struct file *image_make(const char *refcount_bits, uint64_t disk_len, uint64_t room_len)
{
    memset(memory, 0, sizeof(memory));
    return make(memory, room_len, refcount_bits, disk_len);
}

uint8_t *image_bytes(void)
{
    return memory;
}

struct file *other_image_make(uint64_t disk_len)
{
    memset(other_memory, 0, sizeof(other_memory));
    return make(other_memory, sizeof(other_memory), "16", disk_len);
}

struct image *image_of(struct file *file, enum image_purpose purpose)
{
    struct image_setup setup = {
        .environment = native_environment(), .file = file, .format = "qcow2", .purpose = purpose};
    struct image *image;
    assert_true(image_open(&setup, &image, &error));
    return image;
}

struct qcow2_modify *modify_of(struct file *file)
{
    struct target *target;
    assert_true(target_open_image(image_of(file, IMAGE_TO_CHANGE), &target, &error));
    return qcow2_modify_of(target);
}

struct qcow2_modify *modify_make(uint64_t disk_len)
{
    return modify_of(image_make("16", disk_len, ROOM_LEN));
}

uint64_t references(struct qcow2_modify *modify, uint64_t off)
{
    uint64_t count;
    bool is_known;
    assert_true(qcow2_refcount_of(modify->image, off >> CLUSTER_BITS, &count, &is_known, &error));
    assert_true(is_known);
    return count;
}

void expect_clean(struct file *file)
{
    instar_CheckMessage check = {0};
    struct image *image = image_of(file, IMAGE_TO_CHECK);
    assert_true(image->format->check(image, 10, &check, &error));
    assert_int_equal(check.corruptions, 0);
    assert_int_equal(check.check_errors, 0);
    assert_int_equal(check.leaks, 0);
}

static void write_done(struct target_write *write, const struct error *failure)
{
    (void)write;
    (void)failure;
}

bool disk_write(struct qcow2_modify *modify, uint64_t voff, const void *data, uint64_t len)
{
    while (len > 0) { /* ends: a write that works takes a sector at least */
        struct target_write write = {.done = write_done};
        uint64_t part_len = 0;
        if (!qcow2_modify_disk_write(&modify->target, &write, voff, data, len, &part_len, &error) ||
            !target_settle(&modify->target, &error)) {
            return false;
        }
        voff += part_len;
        data = (const uint8_t *)data + part_len;
        len -= part_len;
    }
    return true;
}

uint64_t stored_table(struct qcow2_modify *modify)
{
    uint64_t entry;
    assert_true(cache_read_be64(modify->image->environment->cache, modify->target.file, modify->qcow2->header.l1_off,
                                &entry, &error));
    return entry;
}

uint64_t stored_entry(struct qcow2_modify *modify)
{
    uint64_t l2_off;
    uint64_t entry;
    struct cache *cache = modify->image->environment->cache;
    assert_true(cache_read_be64(cache, modify->target.file, modify->qcow2->header.l1_off, &l2_off, &error));
    assert_true(cache_read_be64(cache, modify->target.file, l2_off & QCOW2_L1_OFFSET_MASK, &entry, &error));
    return entry;
}

uint64_t entry_set(struct qcow2_modify *modify)
{
    uint64_t off;
    uint64_t count;
    assert_true(qcow2_modify_prepare(modify, 0, &error));
    assert_true(qcow2_modify_take(modify, 1, &off, &count, &error));
    qcow2_modify_set(modify, 0, (struct qcow2_l2_entry){.descriptor = off | QCOW2_COPIED});
    return off;
}

void snapshot_add(struct file *file)
{
    const struct snapshot_plan plan = {.action = SNAPSHOT_CREATE, .name = (const uint8_t *)"first", .name_len = 5};
    assert_true(qcow2_change_snapshots(image_of(file, IMAGE_TO_CHANGE), &plan, &error));
}

void bitmap_add(struct file *file, const char *name, bool is_enabled)
{
    static const struct bitmap_action actions[] = {{.kind = BITMAP_ADD}, {.kind = BITMAP_DISABLE}};
    const struct bitmap_plan plan = {
        .name = (const uint8_t *)name,
        .name_len = (uint32_t)strlen(name),
        .granularity = 512,
        .actions = actions,
        .action_count = is_enabled ? 1 : 2,
    };
    uint32_t done_count;
    assert_true(qcow2_change_bitmap(image_of(file, IMAGE_TO_CHANGE), &plan, &done_count, &error));
    assert_int_equal(done_count, plan.action_count);
}

struct image_bitmap bitmap_at(struct file *file, uint32_t number, uint64_t *ret_bits)
{
    struct image *image = image_of(file, IMAGE_TO_READ);
    struct image_bitmap_walk walk = {0};
    static struct image_bitmap bitmap; /* large */
    for (uint32_t i = 0; i <= number; i++) {
        bool is_end;
        assert_true(image->format->bitmap_next(image, &walk, &is_end, &bitmap, &error));
        assert_false(is_end);
    }
    uint64_t count = min_u64(64, image->virtual_len >> bitmap.granularity_bits);
    *ret_bits = 0;
    if (!bitmap.is_inconsistent) {
        assert_true(
            image->format->bitmap_read(image, &bitmap, 0, (uint8_t *)ret_bits, (uint32_t)(count + 7) / 8, &error));
    }
    return bitmap;
}
