/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A LUKS1 volume with a passphrase that is known: its header is changed, it is opened, and its key slots are amended;
 * as an image of its own, and as the header within a qcow2 image, which has a place and a length.
 *
 * A volume that was not changed opens. And one that a passphrase opens is still opened by it when another one has been
 * added or taken away, whether that has succeeded or not.
 */
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "fuzz.h"
#include "guest/crypto/luks_key.h"
#include "guest/image/image_read.h"
#include "guest/image/io.h"
#include "guest/image/write/target.h"
#include "native.h"

#define DISK_LEN 8192u
#define ROOM_LEN (3u << 20)
#define ARENA_LEN (16ull << 20)
#define VOLUME_COUNT 2u
#define EDITS_MAX 12u
/* Where the iterations of the digest, and of the first slot, stand; slots follow each other. */
#define DIGEST_ITERATIONS_OFF 164u
#define SLOT_ITERATIONS_OFF 212u
#define SLOT_LEN 48u
/* More, but fewer than are refused, would only take time. */
#define ITERATIONS_MAX 1500u

static const instar_FormatOption volume_options[VOLUME_COUNT][7] = {
    {{"key-secret", "s"}, {"iter-time", "1"}, {"cipher-alg", "aes-128"}},
    {{"key-secret", "s"},
     {"iter-time", "1"},
     {"cipher-alg", "aes-256"},
     {"cipher-mode", "cbc"},
     {"ivgen-alg", "essiv"},
     {"ivgen-hash-alg", "sha256"},
     {"hash-alg", "sha1"}},
};
static const pb_size_t volume_option_counts[VOLUME_COUNT] = {3, 7};

static instar_Secret secrets[] = {
    {.id = "s", .is_known = true, .data = {.size = 1, .bytes = {'x'}}},
    {.id = "n", .is_known = true, .data = {.size = 3, .bytes = {'n', 'e', 'w'}}},
};

struct volume {
    uint8_t *bytes; /* ROOM_LEN */
    uint64_t len;
};

static void machine_start(void)
{
    native_start(&(struct native_setup){.arena_len = ARENA_LEN, .cache_blocks = 8, .refuses_late_files = true});
    struct image_environment *environment = native_environment();
    environment->io = io_make(native_arena(), NATIVE_IO_REQUESTS);
    environment->secrets = secrets;
    environment->secret_count = ARRAY_COUNT(secrets);
    environment->ticks_khz = 1; /* a clock that is so slow lets everybody have the fewest iterations */
}

static void volume_make(struct volume *volume, uint32_t number)
{
    static instar_ImageIdentity identity = {.random = {1, 2, 3}};
    struct error error = {0};
    machine_start();
    struct file *file = native_file_of_memory(volume->bytes, ROOM_LEN, 0);
    const struct target_setup setup = {
        .environment = native_environment(),
        .file = file,
        .virtual_len = DISK_LEN,
        .options = volume_options[number],
        .option_count = volume_option_counts[number],
        .is_for_create = true,
        .identity = &identity,
    };
    struct target *target;
    FUZZ_ASSERT(target_create("luks", &setup, &target, &error) && target->operations->finish(target, false, &error));
    volume->len = file->len;
    native_stop();
}

static const struct volume *volume_find(uint32_t number)
{
    static struct volume volumes[VOLUME_COUNT];
    struct volume *volume = &volumes[number];
    if (volume->bytes == NULL) {
        volume->bytes = fuzz_memory(1 + number, ROOM_LEN);
        volume_make(volume, number);
    }
    return volume;
}

/* One change: a byte anywhere in the header and the first key slots, or a word of the header. */
static void edit(uint8_t *bytes, uint64_t len, struct fuzz_input *input)
{
    static const uint32_t words[] = {0, 1, 0x00ac71f3, 0x0000dead, 4000, 0x7fffffff, 0x80000000, 0xffffffff};
    uint64_t kind = fuzz_take(input, 1);
    uint64_t off = fuzz_take(input, 3);
    uint32_t value = (uint32_t)fuzz_take(input, 4);
    if (kind % 4 == 0) {
        bytes[off % len] ^= (uint8_t)(value | 1);
        return;
    }
    struct be32 word = be32_make(kind % 4 == 1 ? value : kind % 4 == 2 ? value % 8192 : words[value % 8]);
    memcpy(bytes + off % (LUKS_HEADER_LEN - sizeof(word)), &word, sizeof(word));
}

static void iterations_clamp(uint8_t *bytes, uint64_t off)
{
    struct be32 word;
    memcpy(&word, bytes + off, sizeof(word));
    uint32_t count = be32_get(word);
    if (count > ITERATIONS_MAX && count <= LUKS_ITERATIONS_MAX) {
        word = be32_make(count % ITERATIONS_MAX);
        memcpy(bytes + off, &word, sizeof(word));
    }
}

/* NULL: it does not open. */
static struct image *volume_open(struct file *file, uint32_t secret)
{
    struct error error = {0};
    struct image_setup setup = {
        .environment = native_environment(),
        .file = file,
        .format = "luks",
        .purpose = IMAGE_TO_CHANGE,
        .key = {.id = secrets[secret].id,
                .is_known = true,
                .secret = {secrets[secret].data.bytes, secrets[secret].data.size}},
    };
    struct image *image;
    if (!image_open(&setup, &image, &error)) {
        FUZZ_ASSERT(error_is_set(&error) && error.detail[0] != '\0');
        return NULL;
    }
    return image;
}

static bool volume_opens(uint8_t *bytes, uint64_t len, uint32_t secret)
{
    machine_start();
    bool opens = volume_open(native_file_of_memory(bytes, ROOM_LEN, len), secret) != NULL;
    native_stop();
    return opens;
}

static void read_some(struct image *image)
{
    uint8_t bytes[1024];
    struct image_read_memory memory = {0};
    struct error error = {0};
    (void)(image_read(image, 100, bytes, sizeof(bytes), &memory, &error) || error_is_set(&error));
}

/* The header as one within another file: wherever it lies, whatever is said of its length. */
static void header_use(struct file *file, struct fuzz_input *input)
{
    uint8_t bytes[LUKS_HEADER_LEN];
    uint8_t key[SECTOR_CIPHER_KEY_LEN_MAX];
    struct luks_header header;
    struct error error = {0};
    const struct luks_place place = {.file = file, .off = fuzz_take(input, 1) % 4 * 512, .len = fuzz_take(input, 3)};
    struct span password = {secrets[0].data.bytes, secrets[0].data.size};
    if (file_read(file, place.off, bytes, sizeof(bytes), &error) &&
        luks_header_parse((struct span){bytes, sizeof(bytes)}, false, &header, &error)) {
        FUZZ_ASSERT(luks_key_find(&header, &place, password, native_arena(), key, &error) || error_is_set(&error));
    }
}

struct amendment {
    instar_FormatOption options[4];
    uint32_t count;
    bool keeps_first; /* who had the first passphrase can open it afterwards */
};

static void option_add(struct amendment *amendment, const char *name, const char *value)
{
    instar_FormatOption *option = &amendment->options[amendment->count++];
    snprintf(option->name, sizeof(option->name), "%s", name);
    snprintf(option->value, sizeof(option->value), "%s", value);
}

static struct amendment amendment_take(struct fuzz_input *input, bool force)
{
    struct amendment amendment = {0};
    uint64_t kind = fuzz_take(input, 1) % 4;
    char slot[8];
    snprintf(slot, sizeof(slot), "%u", (unsigned int)(fuzz_take(input, 1) % 9));
    option_add(&amendment, "state", kind < 2 ? "active" : "inactive");
    if (kind < 2) {
        option_add(&amendment, "new-secret", "n");
    }
    if (kind == 2) {
        option_add(&amendment, "old-secret", "n");
    }
    if (kind == 1 || kind == 3) {
        option_add(&amendment, "keyslot", slot);
    }
    amendment.keeps_first = !force && kind < 3;
    return amendment;
}

static void amend(uint8_t *bytes, uint64_t len, struct fuzz_input *input)
{
    static const uint8_t random[64] = {7};
    struct error error = {0};
    bool force = fuzz_take(input, 1) % 4 == 0;
    struct amendment amendment = amendment_take(input, force);
    const struct amend_plan plan = {
        .options = amendment.options,
        .option_count = amendment.count,
        .changes_encryption = true,
        .force = force,
        .random = {random, sizeof(random)},
    };
    machine_start();
    struct image *image = volume_open(native_file_of_memory(bytes, ROOM_LEN, len), 0);
    bool opens = image != NULL;
    bool success = opens && image->format->amend(image, &plan, &error);
    FUZZ_ASSERT(!opens || success || error_is_set(&error));
    native_stop();
    if (opens && amendment.keeps_first) {
        FUZZ_ASSERT(volume_opens(bytes, len, 0));
    }
    if (success && strcmp(amendment.options[1].value, "n") == 0) {
        FUZZ_ASSERT(volume_opens(bytes, len, 1) == (strcmp(amendment.options[0].value, "active") == 0));
    }
}

void fuzz_one(const uint8_t *data, size_t len)
{
    struct fuzz_input input = {data, len};
    uint64_t choice = fuzz_take(&input, 1);
    const struct volume *volume = volume_find((uint32_t)(choice % VOLUME_COUNT));
    uint8_t *bytes = fuzz_memory(0, ROOM_LEN);
    uint64_t edit_count = fuzz_take(&input, 1) % EDITS_MAX;
    uint64_t cut = fuzz_take(&input, 2);
    uint64_t file_len = cut == 0 ? volume->len : cut * 509 % volume->len;
    memcpy(bytes, volume->bytes, volume->len);
    memset(bytes + volume->len, 0, ROOM_LEN - volume->len);
    for (uint64_t i = 0; i < edit_count; i++) {
        edit(bytes, volume->len, &input);
    }
    iterations_clamp(bytes, DIGEST_ITERATIONS_OFF);
    for (uint32_t i = 0; i < LUKS_SLOT_COUNT; i++) {
        iterations_clamp(bytes, SLOT_ITERATIONS_OFF + i * SLOT_LEN);
    }
    memset(bytes + file_len, 0, ROOM_LEN - file_len);
    if (choice / VOLUME_COUNT % 4 == 0) {
        machine_start();
        struct image *image = volume_open(native_file_of_memory(bytes, ROOM_LEN, file_len), 0);
        FUZZ_ASSERT(edit_count > 0 || file_len < volume->len || image != NULL);
        if (image != NULL) {
            read_some(image);
        }
        native_stop();
    } else if (choice / VOLUME_COUNT % 4 == 1) {
        machine_start();
        header_use(native_file_of_memory(bytes, ROOM_LEN, file_len), &input);
        native_stop();
    } else {
        amend(bytes, file_len, &input);
    }
}
