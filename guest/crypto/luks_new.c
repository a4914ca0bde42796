/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crypto/luks_new.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "guest/crypto/image_cipher.h"
#include "guest/crypto/key_split.h"
#include "guest/crypto/luks_key.h"
#include "guest/crypto/random_stream.h"
#include "guest/crypto/wipe.h"
#include "guest/image/option_values.h"
#include "guest/runtime/platform.h"

#define STRIPE_COUNT 4000u
#define ALIGNMENT 4096u
#define ITER_TIME_DEFAULT_MS 2000u
/* QEMU's least. */
#define ITERATIONS_MIN 1000u
/* The check of the key takes a part of a slot's time. */
#define DIGEST_TIME_PART 8u
/* How long the speed is measured for. */
#define MEASURE_MS 40u
#define MEASURE_ITERATIONS_MIN 512u
#define MEASURE_ITERATIONS_MAX (1u << 24)

static const char *const cipher_names[] = {"aes-128",     "aes-192",     "aes-256",     "des",         "3des",
                                           "cast5-128",   "serpent-128", "serpent-192", "serpent-256", "twofish-128",
                                           "twofish-192", "twofish-256", NULL};
static const char *const mode_names[] = {"ecb", "cbc", "xts", "ctr", NULL};
static const char *const iv_names[] = {"plain", "plain64", "essiv", NULL};
static const char *const hash_names[] = {"md5", "sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160", NULL};

static bool take_choice(const instar_FormatOption *option, const char *name, const char *const *values,
                        const char **ret_value, struct error *error)
{
    uint32_t index;
    RETURN_IF_FAILED(option_choice(option, values, name, &index, error));
    *ret_value = values[index];
    return true;
}

static bool take_option(const instar_FormatOption *option, const char *name, struct luks_options *options,
                        struct error *error)
{
    uint64_t number;
    if (strcmp(name, "key-secret") == 0) {
        options->key_secret = option->value;
    } else if (strcmp(name, "cipher-alg") == 0) {
        return take_choice(option, name, cipher_names, &options->cipher.cipher, error);
    } else if (strcmp(name, "cipher-mode") == 0) {
        return take_choice(option, name, mode_names, &options->cipher.mode, error);
    } else if (strcmp(name, "ivgen-alg") == 0) {
        return take_choice(option, name, iv_names, &options->cipher.ivgen, error);
    } else if (strcmp(name, "ivgen-hash-alg") == 0) {
        return take_choice(option, name, hash_names, &options->cipher.ivgen_hash, error);
    } else if (strcmp(name, "hash-alg") == 0) {
        return take_choice(option, name, hash_names, &options->hash, error);
    } else if (strcmp(name, "iter-time") == 0) {
        if (!option_number(option, &number, error)) {
            return false;
        }
        if (number > UINT32_MAX) {
            return error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL,
                                    "Parameter 'iter-time' expects a number");
        }
        options->iter_time_ms = (uint32_t)number;
    } else if (strcmp(name, "detached-header") == 0) {
        return option_flag(option, &options->is_detached, error);
    }
    return true;
}

bool luks_options_parse(const instar_FormatOption *options, uint32_t count, const char *prefix,
                        struct luks_options *ret_options, struct error *error)
{
    struct luks_options found = {
        .cipher = {"aes-256", "xts", "plain64", NULL}, .hash = "sha256", .iter_time_ms = ITER_TIME_DEFAULT_MS};
    size_t prefix_len = strlen(prefix);
    for (uint32_t i = 0; i < count; i++) {
        if (strncmp(options[i].name, prefix, prefix_len) == 0) {
            RETURN_IF_FAILED(take_option(&options[i], options[i].name + prefix_len, &found, error));
        }
    }
    if (strcmp(found.cipher.ivgen, "essiv") != 0) {
        found.cipher.ivgen_hash = NULL;
    } else if (found.cipher.ivgen_hash == NULL) {
        found.cipher.ivgen_hash = "sha256";
    }
    *ret_options = found;
    return true;
}

bool luks_new_key(const struct luks_options *options, const struct image_environment *environment, const char *prefix,
                  struct image_key *ret_key, struct error *error)
{
    struct image_key key = {0};
    if (options->key_secret != NULL) {
        key = image_key_find(environment, options->key_secret);
    }
    RETURN_IF_FAILED(image_key_check(&key, prefix, error));
    *ret_key = key;
    return true;
}

/* Bytes of a key slot's key material. */
static uint64_t slot_len(uint32_t key_len)
{
    return round_up((uint64_t)key_len * STRIPE_COUNT, ALIGNMENT);
}

static uint64_t slot_off(uint32_t key_len, uint32_t slot)
{
    return round_up(LUKS_HEADER_LEN, ALIGNMENT) + slot * slot_len(key_len);
}

bool luks_new_payload_off(const struct luks_options *options, uint64_t *ret_off, struct error *error)
{
    uint32_t key_len = sector_cipher_key_len(options->cipher.cipher, options->cipher.mode);
    if (key_len == 0) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Algorithm '%s' not supported", options->cipher.cipher);
    }
    *ret_off = slot_off(key_len, LUKS_SLOT_COUNT);
    return true;
}

/* How many iterations take a time, for keys of this length. */
static bool measure(const struct hash *hash, uint32_t key_len, uint32_t time_ms, uint32_t ticks_khz,
                    uint32_t *ret_iterations, struct error *error)
{
    uint8_t key[SECTOR_CIPHER_KEY_LEN_MAX];
    static const uint8_t salt[LUKS_SALT_LEN];
    uint64_t ticks = 0;
    uint32_t iterations = MEASURE_ITERATIONS_MIN;
    if (ticks_khz == 0) {
        return error_set(error, ERROR_HOST, NULL, "the machine's clock does not tell how long a key takes to be made");
    }
    for (; iterations < MEASURE_ITERATIONS_MAX; iterations *= 2) {
        uint64_t start = platform_ticks();
        hash_pbkdf2(hash, (struct span){salt, 8}, (struct span){salt, sizeof(salt)}, iterations, key, key_len);
        ticks = platform_ticks() - start;
        if (ticks >= (uint64_t)ticks_khz * MEASURE_MS) {
            break;
        }
    }
    /* iterations: 24 bits; times a time of 32 bits; times a frequency of 32 bits would be too many. */
    uint64_t per_second = ticks > 0 ? (uint64_t)iterations * 1000 / max_u64(ticks / ticks_khz, 1) : iterations;
    uint64_t wanted = max_u64(per_second * time_ms / 1000, ITERATIONS_MIN);
    if (wanted > UINT32_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "PBKDF iterations %llu larger than %u", (unsigned long long)wanted,
                         UINT32_MAX);
    }
    if (wanted > LUKS_ITERATIONS_MAX) { /* nobody of ours would open it */
        return error_set(error, ERROR_LIMIT, NULL, "the passphrase would take %llu iterations, more than %u",
                         (unsigned long long)wanted, LUKS_ITERATIONS_MAX);
    }
    *ret_iterations = (uint32_t)wanted;
    return true;
}

static bool choose_iterations(const struct luks_options *options, uint32_t key_len, uint32_t ticks_khz,
                              struct luks_header *header, struct error *error)
{
    const struct hash *hash = hash_find(options->hash);
    return measure(hash, LUKS_DIGEST_LEN, options->iter_time_ms / DIGEST_TIME_PART, ticks_khz,
                   &header->master_key_iterations, error) &&
           measure(hash, key_len, options->iter_time_ms, ticks_khz, &header->slots[0].iterations, error);
}

bool luks_new_iterations(const struct luks_options *options, uint32_t key_len,
                         const struct image_environment *environment, uint32_t *ret_iterations, struct error *error)
{
    return measure(hash_find(options->hash), key_len, options->iter_time_ms, environment->ticks_khz, ret_iterations,
                   error);
}

/* Of version 4 (RFC 4122, 4.4), as text. */
static void make_uuid(struct random_stream *random, char ret_text[41])
{
    uint8_t bytes[16];
    size_t at = 0;
    random_stream_take(random, bytes, sizeof(bytes));
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bool has_dash = i == 4 || i == 6 || i == 8 || i == 10;
        at += (size_t)snprintf(ret_text + at, 41 - at, "%s%02x", has_dash ? "-" : "", bytes[i]);
    }
}

static bool init_cipher(struct sector_cipher *cipher, const struct luks_options *options, struct span key,
                        struct error *error)
{
    const struct sector_cipher_setup setup = luks_cipher_setup(&options->cipher, key.data, (uint32_t)key.len);
    return sector_cipher_init(cipher, &setup, error);
}

/* The key as the slot has it: split, and encrypted by what the passphrase makes. */
static bool fill_slot(const struct luks_options *options, const struct luks_slot *slot, struct span password,
                      struct span key, struct random_stream *random, struct sector_cipher *cipher, uint8_t *stripes,
                      struct error *error)
{
    const struct hash *hash = hash_find(options->hash);
    uint8_t slot_key[SECTOR_CIPHER_KEY_LEN_MAX];
    hash_pbkdf2(hash, password, (struct span){slot->salt, LUKS_SALT_LEN}, slot->iterations, slot_key, key.len);
    bool success = init_cipher(cipher, options, (struct span){slot_key, key.len}, error);
    wipe(slot_key, sizeof(slot_key));
    RETURN_IF_FAILED(success);
    random_stream_take(random, stripes, key.len * (STRIPE_COUNT - 1));
    key_split(hash, key.data, key.len, STRIPE_COUNT, stripes);
    sector_cipher_encrypt_all(cipher, stripes, key.len * STRIPE_COUNT);
    wipe(cipher, sizeof(*cipher));
    return true;
}

bool luks_new_fill_slot(const struct luks_options *options, const struct luks_slot *slot, struct span password,
                        struct span key, struct random_stream *random, const struct image_environment *environment,
                        uint8_t *stripes, struct error *error)
{
    struct sector_cipher *cipher = arena_allocate(environment->arena, sizeof(*cipher), _Alignof(struct sector_cipher));
    if (cipher == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the key");
    }
    return fill_slot(options, slot, password, key, random, cipher, stripes, error);
}

static bool fill_header(const struct luks_options *options, struct random_stream *random, struct span key,
                        const struct image_environment *environment, struct luks_header *header, struct error *error)
{
    uint32_t key_len = (uint32_t)key.len;
    *header = (struct luks_header){
        .cipher = options->cipher,
        .hash = options->hash,
        .key_len = key_len,
        .payload_off = options->is_detached ? 0 : slot_off(key_len, LUKS_SLOT_COUNT),
    };
    make_uuid(random, header->uuid);
    for (uint32_t i = 0; i < LUKS_SLOT_COUNT; i++) {
        header->slots[i].stripes = STRIPE_COUNT;
        header->slots[i].key_off = slot_off(key_len, i);
    }
    header->slots[0].is_active = true;
    random_stream_take(random, header->slots[0].salt, LUKS_SALT_LEN);
    random_stream_take(random, header->key_digest_salt, LUKS_SALT_LEN);
    RETURN_IF_FAILED(choose_iterations(options, key_len, environment->ticks_khz, header, error));
    hash_pbkdf2(hash_find(options->hash), key, (struct span){header->key_digest_salt, LUKS_SALT_LEN},
                header->master_key_iterations, header->key_digest, LUKS_DIGEST_LEN);
    return true;
}

bool luks_new_make(const struct luks_options *options, struct span password, struct span random,
                   const struct image_environment *environment, struct luks_new *ret_new, struct error *error)
{
    uint64_t payload_off;
    RETURN_IF_FAILED(luks_new_payload_off(options, &payload_off, error));
    uint32_t key_len = sector_cipher_key_len(options->cipher.cipher, options->cipher.mode);
    uint64_t head_len = slot_off(key_len, 1);
    struct luks_header *header = arena_allocate(environment->arena, sizeof(*header), _Alignof(struct luks_header));
    struct sector_cipher *ciphers =
        arena_allocate(environment->arena, 2 * sizeof(*ciphers), _Alignof(struct sector_cipher));
    uint8_t *head = arena_allocate(environment->arena, head_len, ALIGNMENT);
    if (header == NULL || ciphers == NULL || head == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the image");
    }
    struct random_stream stream;
    uint8_t key[SECTOR_CIPHER_KEY_LEN_MAX];
    struct span key_span = {key, key_len};
    random_stream_init(&stream, random);
    random_stream_take(&stream, key, key_len);
    bool success = init_cipher(&ciphers[0], options, key_span, error) &&
                   fill_header(options, &stream, key_span, environment, header, error) &&
                   fill_slot(options, &header->slots[0], password, key_span, &stream, &ciphers[1],
                             head + slot_off(key_len, 0), error);
    wipe(key, sizeof(key));
    wipe(&stream, sizeof(stream));
    RETURN_IF_FAILED(success);
    luks_header_emit(header, head);
    *ret_new = (struct luks_new){.payload_off = payload_off, .head = {head, head_len}, .cipher = &ciphers[0]};
    return true;
}
