/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/batch/id_set.h"

static void many(void **state)
{
    (void)state;
    struct id_set set = {0};
    char id[64];
    assert_false(id_set_has(&set, "0"));
    for (unsigned int i = 0; i < 200000; i++) {
        snprintf(id, sizeof(id), "image %u", i * 2);
        assert_true(id_set_add(&set, id));
        assert_true(id_set_add(&set, id));
    }
    assert_int_equal(set.count, 200000);
    for (unsigned int i = 0; i < 400000; i++) {
        snprintf(id, sizeof(id), "image %u", i);
        assert_int_equal(id_set_has(&set, id), i % 2 == 0);
    }
    id_set_release(&set);
    assert_false(id_set_has(&set, "image 0"));
}

static void a_long_name(void **state)
{
    (void)state;
    struct id_set set = {0};
    static char id[1 << 20];
    memset(id, 'x', sizeof(id) - 1);
    assert_true(id_set_add(&set, "short"));
    assert_true(id_set_add(&set, id));
    assert_true(id_set_has(&set, id));
    assert_true(id_set_has(&set, "short"));
    assert_false(id_set_has(&set, &id[1]));
    id_set_release(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(many), cmocka_unit_test(a_long_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
