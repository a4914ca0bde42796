/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/batch/digest.h"

/* Examples of NIST's for SHA-256. */
static void published_examples(void **state)
{
    (void)state;
    char path[] = "/var/tmp/instar-digest-XXXXXX";
    char text[DIGEST_TEXT_LEN];
    struct batch_account account = {0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    digest_make(&account, path);
    assert_string_equal(digest_format(text, account.digest),
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_int_equal(write(fd, "abc", 3), 3);
    digest_make(&account, path);
    assert_string_equal(digest_format(text, account.digest),
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    static char million[1000000]; /* more than is read at once */
    memset(million, 'a', sizeof(million));
    assert_int_equal(pwrite(fd, million, sizeof(million), 0), sizeof(million));
    digest_make(&account, path);
    assert_string_equal(digest_format(text, account.digest),
                        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    assert_int_equal(account.digest_errno, 0);
    close(fd);
    unlink(path);
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
