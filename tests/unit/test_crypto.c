/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes, PBKDF2, block ciphers and their modes: vectors of the standards, and what OpenSSL and Nettle's own XTS make.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <nettle/xts.h>

#include "guest/crypto/argon2_key.h"
#include "guest/crypto/hash.h"
#include "guest/crypto/key_split.h"
#include "guest/crypto/sector_cipher.h"

#define UNIT_LEN 512u
#define TEXT_LEN (2 * HASH_DIGEST_LEN_MAX + 1)

static uint8_t content[4096];
static uint8_t long_key[SECTOR_CIPHER_KEY_LEN_MAX];

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(content); i++) {
        content[i] = (uint8_t)(i * 7 + 3);
    }
    for (size_t i = 0; i < sizeof(long_key); i++) {
        long_key[i] = (uint8_t)i;
    }
    return 0;
}

static void assert_bytes(const uint8_t *bytes, size_t len, const char *expected)
{
    char text[TEXT_LEN];
    for (size_t i = 0; i < len; i++) {
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
    assert_string_equal(text, expected);
}

static size_t bytes_of(const char *text, uint8_t *target)
{
    static const char digits[] = "0123456789abcdef";
    size_t len = strlen(text) / 2;
    for (size_t i = 0; i < len; i++) {
        target[i] = (uint8_t)((strchr(digits, text[2 * i]) - digits) << 4 | (strchr(digits, text[2 * i + 1]) - digits));
    }
    return len;
}

static struct span text_span(const char *text)
{
    return (struct span){(const uint8_t *)text, strlen(text)};
}

/* "abc" (FIPS 180-4; RFC 1321; the page of RIPEMD-160's authors), here in two parts. */
static void hashes_are_the_standards(void **state)
{
    static const char *const rows[][2] = {
        {"md5", "900150983cd24fb0d6963f7d28e17f72"},
        {"sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"sha224", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"},
        {"sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"sha384", "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"},
        {"sha512", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd"
                   "454d4423643ce80e2a9ac94fa54ca49f"},
        {"ripemd160", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t digest[HASH_DIGEST_LEN_MAX];
        const struct hash *hash = hash_find(rows[i][0]);
        assert_non_null(hash);
        hash_digest(hash, text_span("a"), text_span("bc"), digest);
        assert_bytes(digest, hash_digest_len(hash), rows[i][1]);
    }
    assert_null(hash_find("sha3"));
}

/* RFC 6070 and, of SHA-256, RFC 7914 (11.); of the others such inputs by Python's hashlib (OpenSSL). */
static void pbkdf2_is_the_standards(void **state)
{
    static const struct {
        const char *hash;
        const char *password;
        const char *salt;
        uint32_t iterations;
        uint32_t len;
        const char *key;
    } rows[] = {
        {"sha1", "password", "salt", 1, 20, "0c60c80f961f0e71f3a9b524af6012062fe037a6"},
        {"sha1", "password", "salt", 4096, 20, "4b007901b765489abead49d926f721d065a429c1"},
        {"sha1", "passwordPASSWORDpassword", "saltSALTsaltSALTsaltSALTsaltSALTsalt", 4096, 25,
         "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038"},
        {"sha256", "password", "salt", 4096, 32, "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a"},
        {"sha256", "passwd", "salt", 1, 64,
         "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc49ca9cccf179b645991664b39d77ef317c71b845b1e30"
         "bd509112041d3a19783"},
        {"md5", "password", "salt", 4096, 16, "15001f89b9c29ee6998c520d1a0629e8"},
        {"sha224", "password", "salt", 4096, 28, "218c453bf90635bd0a21a75d172703ff6108ef603f65bb821aedade1"},
        {"sha384", "password", "salt", 4096, 48,
         "559726be38db125bc85ed7895f6e3cf574c7a01c080c3447db1e8a76764deb3c307b94853fbe424f6488c5f4f1289626"},
        {"ripemd160", "password", "salt", 2, 20, "768dcc27b7bfdef794a1ff9d935090fcf598555e"},
        {"sha512", "passwordPASSWORDpassword", "saltSALTsaltSALTsaltSALTsaltSALTsalt", 4096, 64,
         "8c0511f4c6e597c6ac6315d8f0362e225f3c501495ba23b868c005174dc4ee71115b59f9e60cd9532fa33e0f75aefe30225c583a186c"
         "d82bd4daea9724a3d3b8"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t key[SECTOR_CIPHER_KEY_LEN_MAX];
        hash_pbkdf2(hash_find(rows[i].hash), text_span(rows[i].password), text_span(rows[i].salt), rows[i].iterations,
                    key, rows[i].len);
        assert_bytes(key, rows[i].len, rows[i].key);
    }
}

/* Those of the reference implementation's tests (its test.c): "password", "somesalt", 32 bytes. */
static void argon2_is_the_reference(void **state)
{
    static const struct {
        bool is_hybrid;
        uint32_t passes;
        uint32_t memory_kib;
        uint32_t lanes;
        const char *key;
    } rows[] = {
        {false, 2, 256, 1, "89e9029f4637b295beb027056a7336c414fadd43f6b208645281cb214a56452f"},
        {false, 2, 256, 2, "4ff5ce2769a1d7f4c8a491df09d41a9fbe90e5eb02155a13e4c01e20cd4eab61"},
        {true, 2, 256, 1, "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"},
        {true, 2, 256, 2, "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037"},
    };
    static _Alignas(64) uint8_t memory[(256 << 10) + 64];
    struct arena arena;
    (void)state;
    arena_init(&arena, (uint64_t)(uintptr_t)memory, sizeof(memory));
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct argon2_setup setup = {
            .is_hybrid = rows[i].is_hybrid,
            .passes = rows[i].passes,
            .memory_kib = rows[i].memory_kib,
            .lanes = rows[i].lanes,
            .salt = text_span("somesalt"),
        };
        struct error error = {0};
        uint8_t key[32];
        assert_true(argon2_key(&setup, text_span("password"), &arena, key, sizeof(key), &error));
        assert_bytes(key, sizeof(key), rows[i].key);
        assert_int_equal(arena_left(&arena, 1), sizeof(memory)); /* given back, and wiped */
        for (size_t k = 0; k < sizeof(memory); k++) {
            assert_int_equal(memory[k], 0);
        }
        setup.memory_kib = 257;
        assert_false(argon2_key(&setup, text_span("password"), &arena, key, sizeof(key), &error));
        assert_int_equal(error.kind, ERROR_LIMIT);
    }
}

/* FIPS 197; the vectors of Twofish, Serpent (NESSIE) and CAST-128 (RFC 2144). */
static void block_ciphers_are_the_standards(void **state)
{
    static const char *const rows[][4] = {
        {"aes-128", "000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff",
         "69c4e0d86a7b0430d8cdb78070b4c55a"},
        {"aes-192", "000102030405060708090a0b0c0d0e0f1011121314151617", "00112233445566778899aabbccddeeff",
         "dda97ca4864cdfe06eaf70a0ec0d7191"},
        {"aes-256", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
         "00112233445566778899aabbccddeeff", "8ea2b7ca516745bfeafc49904b496089"},
        {"twofish-128", "00000000000000000000000000000000", "00000000000000000000000000000000",
         "9f589f5cf6122c32b6bfec2f2ae8c35a"},
        {"twofish-192", "0123456789abcdeffedcba98765432100011223344556677", "00000000000000000000000000000000",
         "cfd1d2e5a9be9cdf501f13b892bd2248"},
        {"twofish-256", "0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff",
         "00000000000000000000000000000000", "37527be0052334b89f0cfccae87cfa20"},
        {"serpent-128", "80000000000000000000000000000000", "00000000000000000000000000000000",
         "264e5481eff42a4606abda06c0bfda3d"},
        {"serpent-192", "800000000000000000000000000000000000000000000000", "00000000000000000000000000000000",
         "9e274ead9b737bb21efcfca548602689"},
        {"serpent-256", "8000000000000000000000000000000000000000000000000000000000000000",
         "00000000000000000000000000000000", "a223aa1288463c0e2be38ebd825616c0"},
        {"cast5-128", "0123456712345678234567893456789a", "0123456789abcdef", "238b4fe5847e44b2"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t key[BLOCK_CIPHER_KEY_LEN_MAX];
        uint8_t block[BLOCK_CIPHER_BLOCK_LEN_MAX];
        union block_cipher_state cipher_state;
        const struct block_cipher *cipher = block_cipher_find(rows[i][0]);
        assert_int_equal(bytes_of(rows[i][1], key), cipher->key_len);
        assert_int_equal(bytes_of(rows[i][2], block), cipher->block_len);
        cipher->set_encrypt_key(&cipher_state, key);
        cipher->encrypt(&cipher_state, cipher->block_len, block, block);
        assert_bytes(block, cipher->block_len, rows[i][3]);
        cipher->set_decrypt_key(&cipher_state, key);
        cipher->decrypt(&cipher_state, cipher->block_len, block, block);
        assert_bytes(block, cipher->block_len, rows[i][2]);
    }
    assert_null(block_cipher_find("des"));
    assert_null(block_cipher_find_family("aes", 20));
}

static struct sector_cipher cipher_make(const char *cipher, const char *mode, const char *iv, const uint8_t *key)
{
    struct sector_cipher made;
    struct error error = {0};
    const struct sector_cipher_setup setup = {
        .cipher = cipher,
        .mode = mode,
        .iv = iv,
        .iv_hash = strcmp(iv, "essiv") == 0 ? "sha256" : NULL,
        .unit_len = UNIT_LEN,
        .key = {key, sector_cipher_key_len(cipher, mode)},
    };
    assert_true(sector_cipher_init(&made, &setup, &error));
    return made;
}

/* IEEE 1619-2007, vectors 1 and 2: less than a sector. */
static void xts_is_the_standards(void **state)
{
    uint8_t key[32] = {0};
    uint8_t bytes[32] = {0};
    (void)state;
    struct sector_cipher cipher = cipher_make("aes-128", "xts", "plain64", key);
    sector_cipher_encrypt_all(&cipher, bytes, sizeof(bytes));
    assert_bytes(bytes, sizeof(bytes), "917cf69ebd68b2ec9b9fe9a3eadda692cd43d2f59598ed858c02c2652fbf922e");
    memset(key, 0x11, 16);
    memset(key + 16, 0x22, 16);
    memset(bytes, 0x44, sizeof(bytes));
    cipher = cipher_make("aes-128", "xts", "plain64", key);
    cipher.first_number = 0x3333333333;
    sector_cipher_encrypt_all(&cipher, bytes, sizeof(bytes));
    assert_bytes(bytes, sizeof(bytes), "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0");
}

/* IEEE 1619-2007, vector 10: keys of 256 bits, a whole sector, whose number is 255. The ends of it. */
static void xts_of_a_sector_is_the_standards(void **state)
{
    uint8_t key[64];
    uint8_t bytes[UNIT_LEN];
    (void)state;
    bytes_of("2718281828459045235360287471352662497757247093699959574966967627"
             "3141592653589793238462643383279502884197169399375105820974944592",
             key);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)i;
    }
    struct sector_cipher cipher = cipher_make("aes-256", "xts", "plain64", key);
    cipher.data.encrypt(&cipher.data, 255 * UNIT_LEN, bytes, bytes, sizeof(bytes));
    assert_bytes(bytes, 32, "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b");
    assert_bytes(bytes + UNIT_LEN - 32, 32, "773dad38014bd2092fa755c824bb5e54c4f36ffda9fcea70b9c6e693e148c151");
}

/*
 * NIST SP 800-38A, F.1 and F.2: its four blocks. Chains begin with an initial vector that no sector has: the first
 * block has it already, which comes to the same.
 */
static void ecb_and_cbc_are_the_standards(void **state)
{
    static const char blocks[] = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
                                 "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";
    static const char *const rows[][4] = {
        {"aes-128", "ecb", "2b7e151628aed2a6abf7158809cf4f3c",
         "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf"
         "43b1cd7f598ece23881b00e3ed0306887b0c785e27e8ad3f8223207104725dd4"},
        {"aes-128", "cbc", "2b7e151628aed2a6abf7158809cf4f3c",
         "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"
         "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7"},
        {"aes-192", "cbc", "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
         "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a"
         "571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd"},
        {"aes-256", "cbc", "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
         "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d"
         "39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t key[SECTOR_CIPHER_KEY_LEN_MAX];
        uint8_t bytes[64];
        bytes_of(blocks, bytes);
        bytes_of(rows[i][2], key);
        for (uint8_t k = 0; k < 16 && strcmp(rows[i][1], "cbc") == 0; k++) {
            bytes[k] ^= k;
        }
        struct sector_cipher cipher = cipher_make(rows[i][0], rows[i][1], "plain64", key);
        sector_cipher_encrypt_all(&cipher, bytes, sizeof(bytes));
        assert_bytes(bytes, sizeof(bytes), rows[i][3]);
    }
}

/* Counters 0, 1 and 2 under a key of zeros: H, and what is added, in the test cases 1, 2, 7, 8, 13 and 14 of GCM. */
static void counters_are_the_standards(void **state)
{
    static const char *const rows[][2] = {
        {"aes-128", "66e94bd4ef8a2c3b884cfa59ca342b2e58e2fccefa7e3061367f1d57a4e7455a0388dace60b6a392f328c2b971b2fe78"},
        {"aes-192", "aae06992acbf52a3e8f4a96ec9300bd7cd33b28ac773f74ba00ed1f31257243598e7247c07f0fe411c267e4384b0f600"},
        {"aes-256", "dc95c078a2408989ad48a21492842087530f8afbc74536b9a963b4f1c4cb738bcea7403d4d606b6e074ec5d3baf39d18"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t key[SECTOR_CIPHER_KEY_LEN_MAX] = {0};
        uint8_t bytes[48] = {0};
        struct sector_cipher cipher = cipher_make(rows[i][0], "ctr", "plain64", key);
        sector_cipher_encrypt_all(&cipher, bytes, sizeof(bytes));
        assert_bytes(bytes, sizeof(bytes), rows[i][1]);
    }
}

static void xts_is_nettles(void **state)
{
    uint8_t expected[UNIT_LEN];
    uint8_t bytes[UNIT_LEN];
    uint8_t tweak[16] = {5};
    struct xts_aes256_key key;
    (void)state;
    xts_aes256_set_encrypt_key(&key, long_key);
    xts_aes256_encrypt_message(&key, tweak, sizeof(expected), expected, content);
    struct sector_cipher cipher = cipher_make("aes-256", "xts", "plain64", long_key);
    cipher.data.encrypt(&cipher.data, 5 * UNIT_LEN, content, bytes, sizeof(bytes));
    assert_memory_equal(bytes, expected, sizeof(bytes));
}

/* A sector by `openssl enc`, of which the SHA-256 is here. */
static void modes_are_those_of_openssl(void **state)
{
    static const char *const rows[][4] = {
        {"aes-128", "cbc", "plain64", "43d27f8c0732ac888e8d89f8b003db809abdaab61ac6058809fc85f8e4d2360b"},
        {"aes-192", "cbc", "plain64", "c622aac622d8072639a507032cb75bc7f6f9097add3821d450cc2b7686e2622f"},
        {"aes-256", "cbc", "plain", "d452d9d9f03013d8b4ebeac895d7df8acdaef32baf0860335eab08e55844556c"},
        {"aes-256", "cbc", "essiv", "6002b4b72ca82575f1d7a7d7ac4e36b26ff5305aa2b8b9eb27d270e7d017b66c"},
        {"aes-256", "ctr", "plain64", "8788874e83e3f8fc46ff9194b43bc583a3c06018df1fe66ce0fa08c36656fa4b"},
        {"aes-256", "ecb", "plain64", "eb87fbd7d6b2595bdf9002b3f6a1b249ce46da295e9eb70c2639c1bc9149e5c0"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t bytes[UNIT_LEN];
        uint8_t digest[HASH_DIGEST_LEN_MAX];
        struct sector_cipher cipher = cipher_make(rows[i][0], rows[i][1], rows[i][2], long_key);
        cipher.data.encrypt(&cipher.data, 5 * UNIT_LEN, content, bytes, sizeof(bytes));
        hash_digest(hash_find("sha256"), (struct span){bytes, sizeof(bytes)}, (struct span){NULL, 0}, digest);
        assert_bytes(digest, 32, rows[i][3]);
    }
}

/* All ciphers in all modes, several units at once and in place. */
static void what_is_encrypted_is_decrypted(void **state)
{
    static const char *const ciphers[] = {"aes-128",     "aes-192",     "aes-256",     "cast5-128",   "serpent-128",
                                          "serpent-192", "serpent-256", "twofish-128", "twofish-192", "twofish-256"};
    static const char *const modes[] = {"ecb", "cbc", "xts", "ctr"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ciphers) * ARRAY_COUNT(modes); i++) {
        const char *name = ciphers[i / ARRAY_COUNT(modes)];
        const char *mode = modes[i % ARRAY_COUNT(modes)];
        uint8_t bytes[sizeof(content)];
        if (strcmp(name, "cast5-128") == 0 && strcmp(mode, "xts") == 0) {
            continue;
        }
        struct sector_cipher cipher = cipher_make(name, mode, "plain64", long_key);
        cipher.data.encrypt(&cipher.data, 0, content, bytes, sizeof(bytes));
        assert_memory_not_equal(bytes, content, UNIT_LEN);
        /* The last unit alone is the same as with those before it. */
        uint8_t last[UNIT_LEN];
        size_t last_off = sizeof(content) - UNIT_LEN;
        cipher.data.decrypt(&cipher.data, last_off, bytes + last_off, last, UNIT_LEN);
        assert_memory_equal(last, content + last_off, UNIT_LEN);
        cipher.data.decrypt(&cipher.data, 0, bytes, bytes, sizeof(bytes));
        assert_memory_equal(bytes, content, sizeof(bytes));
    }
}

static void what_does_not_go_together_is_refused(void **state)
{
    static const struct {
        struct sector_cipher_setup setup;
        uint32_t key_len;
        const char *detail;
    } rows[] = {
        {{.cipher = "cast5-128", .mode = "xts", .iv = "plain"}, 32, "Unsupported cipher mode xts"},
        {{.cipher = "aes-256", .mode = "cbc", .iv = "essiv", .iv_hash = "sha1"},
         32,
         "No AES cipher with key size 20 available"},
        {{.cipher = "cast5-128", .mode = "cbc", .iv = "essiv", .iv_hash = "sha256"},
         16,
         "Cipher cast5-128 not supported with essiv"},
        {{.cipher = "aes-256", .mode = "xts", .iv = "plain"}, 65, "Cipher key length 65 should be 64"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct sector_cipher cipher;
        struct error error = {0};
        uint8_t key[65] = {0};
        struct sector_cipher_setup setup = rows[i].setup;
        setup.unit_len = UNIT_LEN;
        setup.key = (struct span){key, rows[i].key_len};
        assert_false(sector_cipher_init(&cipher, &setup, &error));
        assert_string_equal(error.detail, rows[i].detail);
    }
}

static void split_keys_are_merged(void **state)
{
    enum { STRIPES = 20 };
    static const char *const hashes[] = {"sha1", "sha256", "sha512", "ripemd160"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(hashes); i++) {
        const struct hash *hash = hash_find(hashes[i]);
        for (size_t key_len = 16; key_len <= 64; key_len += 8) {
            uint8_t stripes[STRIPES * 64];
            uint8_t key[64];
            memcpy(stripes, content, sizeof(stripes));
            key_split(hash, long_key, key_len, STRIPES, stripes);
            key_merge(hash, stripes, STRIPES, key, key_len);
            assert_memory_equal(key, long_key, key_len);
            stripes[3] ^= 1; /* of the first stripe one bit is enough to have nothing */
            key_merge(hash, stripes, STRIPES, key, key_len);
            assert_memory_not_equal(key, long_key, key_len);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_the_standards),
        cmocka_unit_test(pbkdf2_is_the_standards),
        cmocka_unit_test(argon2_is_the_reference),
        cmocka_unit_test(block_ciphers_are_the_standards),
        cmocka_unit_test(xts_is_the_standards),
        cmocka_unit_test(xts_of_a_sector_is_the_standards),
        cmocka_unit_test(ecb_and_cbc_are_the_standards),
        cmocka_unit_test(counters_are_the_standards),
        cmocka_unit_test(xts_is_nettles),
        cmocka_unit_test(modes_are_those_of_openssl),
        cmocka_unit_test(what_is_encrypted_is_decrypted),
        cmocka_unit_test(what_does_not_go_together_is_refused),
        cmocka_unit_test(split_keys_are_merged),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
