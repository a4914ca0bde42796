/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/batch/digest.h"

static void digest_is(const void *data, size_t len, size_t piece_len, const char *expected)
{
    struct sha256 hash;
    uint8_t digest[SHA256_LEN];
    char text[DIGEST_TEXT_LEN];
    sha256_init(&hash);
    for (size_t done = 0; done < len; done += piece_len) {
        sha256_add(&hash, (const uint8_t *)data + done, len - done < piece_len ? len - done : piece_len);
    }
    sha256_end(&hash, digest);
    assert_string_equal(digest_format(text, digest), expected);
}

/* Examples of NIST's for SHA-256. */
static void published_examples(void **state)
{
    (void)state;
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    static char million[1000000];
    memset(million, 'a', sizeof(million));
    digest_is("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (size_t piece_len = 1; piece_len < 60; piece_len++) {
        digest_is("abc", 3, piece_len, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        digest_is(two_blocks, 56, piece_len, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    }
    for (size_t piece_len = 63; piece_len < 200; piece_len += 17) {
        digest_is(million, sizeof(million), piece_len,
                  "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
}

static void a_file_that_is_not_there(void **state)
{
    (void)state;
    struct batch_account account = {0};
    digest_make(&account, "/no/such/file");
    assert_int_not_equal(account.digest_errno, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(published_examples),
                                       cmocka_unit_test(a_file_that_is_not_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
