/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets of --object: what they are, and that nothing of them is left in the program's memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attributes.h"
#include "host/cli/image/names/secret.h"

#define TEXT_LEN 256u

static instar_ImageJob job; /* large */

/* An argument with a passphrase that stands nowhere in the program: letters that are one too high here. */
static void argument_make(char *target, const char *form)
{
    static const char shifted[] = "tvqfstfdsfuqbttqisbtf";
    char passphrase[sizeof(shifted)];
    for (size_t i = 0; i < sizeof(shifted) - 1; i++) {
        passphrase[i] = (char)(shifted[i] - 1);
    }
    passphrase[sizeof(shifted) - 1] = '\0';
    snprintf(target, TEXT_LEN, form, passphrase);
    explicit_bzero(passphrase, sizeof(passphrase));
}

/* Whether the passphrase stands in some memory of this process that can be written to. */
static bool memory_has_passphrase(void)
{
    static const char shifted[] = "tvqfstfdsfuqbttqisbtf";
    char line[512];
    bool is_found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        char *rest;
        uintptr_t start = strtoul(line, &rest, 16);
        uintptr_t end = strtoul(rest + 1, &rest, 16);
        if (strncmp(rest, " rw", 3) != 0) {
            continue;
        }
        for (const char *at = (const char *)start; at + sizeof(shifted) <= (const char *)end; at++) {
            size_t i = 0;
            while (i < sizeof(shifted) - 1 && at[i] == (char)(shifted[i] - 1)) {
                i++;
            }
            is_found = is_found || i == sizeof(shifted) - 1;
        }
    }
    fclose(maps);
    return is_found;
}

static void nothing_is_left(void **state)
{
    static const char *const forms[] = {"secret,id=s,data=%s",
                                        "{\"qom-type\":\"secret\",\"id\":\"s\",\"data\":\"%s\"}"};
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* they do not let a program look at all of its memory */
#endif
    for (size_t i = 0; i < ARRAY_COUNT(forms); i++) {
        struct secret_store store = {0};
        struct error error = {0};
        char text[TEXT_LEN];
        uint32_t number;
        argument_make(text, forms[i]);
        assert_true(memory_has_passphrase()); /* it would be found */
        assert_true(secret_text_check(text, &error));
        char *moved = secret_text_move(text, &error);
        assert_non_null(moved);
        assert_true(secret_store_take(&store, moved, &error));
        secret_text_release(moved);
        job = (instar_ImageJob){.secrets_count = 0};
        assert_true(secret_store_give(&store, "s", &job, &number, &error));
        assert_int_equal(number, 1);
        assert_int_equal(job.secrets[0].data.size, strlen("supersecretpassphras") + 1);
        explicit_bzero(job.secrets, sizeof(job.secrets));
        secret_store_release(&store);
        assert_false(memory_has_passphrase());
    }
}

static void expect_secret(const char *const *objects, const char *expected)
{
    struct secret_store store = {0};
    struct error error = {0};
    for (; *objects != NULL; objects++) {
        char text[TEXT_LEN];
        snprintf(text, sizeof(text), "%s", *objects);
        assert_true(secret_text_check(text, &error));
        char *moved = secret_text_move(text, &error);
        assert_non_null(moved);
        assert_true(secret_store_take(&store, moved, &error));
        secret_text_release(moved);
    }
    const struct secret *secret = secret_store_find(&store, "s");
    assert_non_null(secret);
    assert_int_equal(secret->len, strlen(expected));
    assert_memory_equal(secret->data, expected, secret->len);
    secret_store_release(&store);
}

/* What is encrypted is by `openssl enc -aes-256-cbc`, with the bytes 0 to 31 as the key and 0 to 15 as the IV. */
static void forms_are_decoded(void **state)
{
    static const char *const text[] = {"secret,id=s,data=a,,b", NULL};
    static const char *const base64[] = {"secret,id=s,format=base64,data=Z2VoZWlt", NULL};
    static const char *const lines[] = {"secret,id=s,format=base64,data=Z2Vo\nZWltZQ==\n", NULL};
    static const char *const encrypted[] = {
        "secret,id=k,format=base64,data=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "secret,id=s,keyid=k,format=base64,iv=AAECAwQFBgcICQoLDA0ODw==,data=MrkGruHHnn5CgHoVx9DbQQ==", NULL};
    (void)state;
    expect_secret(text, "a,b");
    expect_secret(base64, "geheim");
    expect_secret(lines, "geheime");
    expect_secret(encrypted, "geheim");
}

static void ids_are_given_once(void **state)
{
    struct secret_store store = {0};
    struct error error = {0};
    uint32_t first, second;
    (void)state;
    job = (instar_ImageJob){.secrets_count = 0};
    assert_true(secret_store_give(&store, "nobody", &job, &first, &error));
    assert_true(secret_store_give(&store, "nobody", &job, &second, &error));
    assert_int_equal(first, second);
    assert_int_equal(job.secrets_count, 1);
    assert_false(job.secrets[0].is_known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_left),
        cmocka_unit_test(forms_are_decoded),
        cmocka_unit_test(ids_are_given_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
