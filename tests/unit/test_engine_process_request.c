/* SPDX-License-Identifier: Apache-2.0 */
/* Requests in mailboxes, every field of which a hostile guest may have written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attributes.h"
#include "host/vmm/engines/process_private.h"

static struct mailbox mailbox;
/* With room behind it that must stay as it is. */
static uint8_t data[MAILBOX_DATA_LEN + 64];

static void fill(uint32_t kind, uint32_t is_write, uint64_t address, uint32_t width, uint32_t count)
{
    mailbox = (struct mailbox){
        .state = MAILBOX_REQUESTED,
        .kind = kind,
        .is_write = is_write,
        .width = width,
        .count = count,
        .reserved = 0xdeadbeef,
        .address = address,
    };
    for (unsigned int i = 0; i < MAILBOX_DATA_LEN; i++) {
        mailbox.data[i] = (uint8_t)(i * 7 + 1);
    }
    memset(data, 0xa5, sizeof(data));
}

static void expect_untouched(size_t from)
{
    for (size_t i = from; i < sizeof(data); i++) {
        assert_int_equal(data[i], 0xa5);
    }
}

static struct process_request expect_taken(void)
{
    struct process_request request;
    struct error error = {0};
    assert_true(process_request_take(&mailbox, data, &request, &error));
    assert_ptr_equal(request.access.data, data);
    expect_untouched((size_t)request.access.width * request.access.count);
    return request;
}

static void expect_refused(const char *detail)
{
    struct process_request request = {.is_port = true, .access = {.width = 77}};
    struct error error = {0};
    assert_false(process_request_take(&mailbox, data, &request, &error));
    assert_int_equal(error.kind, ERROR_GUEST);
    assert_non_null(strstr(error.detail, detail));
    assert_int_equal(request.access.width, 77);
    expect_untouched(0);
}

static void takes_a_write(void **state UNUSED)
{
    fill(MAILBOX_PORT, 1, 0x510, 4, 1);
    struct process_request request = expect_taken();
    assert_true(request.is_port && request.access.is_write);
    assert_int_equal(request.access.address, 0x510);
    assert_int_equal(request.access.width, 4);
    assert_int_equal(request.access.count, 1);
    assert_memory_equal(data, mailbox.data, 4);

    fill(MAILBOX_REGISTER, 1, LAYOUT_REGISTERS_GPA + 0x50, 8, 1);
    request = expect_taken();
    assert_false(request.is_port);
    assert_memory_equal(data, mailbox.data, 8);
}

static void takes_a_read_with_nothing_of_the_guest_in_it(void **state UNUSED)
{
    static const uint8_t zeros[MAILBOX_DATA_LEN];
    fill(MAILBOX_PORT, 0, 0x3f8, 1, 100);
    struct process_request request = expect_taken();
    assert_false(request.access.is_write);
    assert_memory_equal(data, zeros, 100);
    /* An address that no device has is the bus's to refuse. */
    fill(MAILBOX_REGISTER, 0, UINT64_MAX, 1, 1);
    expect_taken();
}

static void takes_as_much_as_a_mailbox_holds(void **state UNUSED)
{
    static const uint32_t widths[] = {1, 2, 4};
    for (unsigned int i = 0; i < ARRAY_COUNT(widths); i++) {
        uint32_t most = (uint32_t)MAILBOX_DATA_LEN / widths[i];
        fill(MAILBOX_PORT, 1, 0xffff, widths[i], most);
        expect_taken();
        assert_memory_equal(data, mailbox.data, (size_t)most * widths[i]);
        fill(MAILBOX_PORT, 1, 0xffff, widths[i], most + 1);
        expect_refused("items");
        fill(MAILBOX_PORT, 0, 0xffff, widths[i], most + 1);
        expect_refused("items");
    }
}

static void refuses_unknown_kinds(void **state UNUSED)
{
    static const uint32_t kinds[] = {0, 3, 4, 0x80000001, UINT32_MAX};
    for (unsigned int i = 0; i < ARRAY_COUNT(kinds); i++) {
        fill(kinds[i], 1, 0x3f8, 1, 1);
        expect_refused("unknown kind");
    }
    static const uint32_t directions[] = {2, 0x100, 0x80000000, UINT32_MAX};
    for (unsigned int i = 0; i < ARRAY_COUNT(directions); i++) {
        fill(MAILBOX_PORT, directions[i], 0x3f8, 1, 1);
        expect_refused("unknown kind");
    }
}

static void refuses_widths_that_no_instruction_has(void **state UNUSED)
{
    static const uint32_t widths[] = {0, 3, 5, 6, 7, 16, 0x10000, 0x80000000, UINT32_MAX};
    for (unsigned int i = 0; i < ARRAY_COUNT(widths); i++) {
        fill(MAILBOX_PORT, 1, 0x3f8, widths[i], 1);
        expect_refused("bytes wide");
        fill(MAILBOX_REGISTER, 0, LAYOUT_REGISTERS_GPA, widths[i], 1);
        expect_refused("bytes wide");
    }
    fill(MAILBOX_PORT, 1, 0x3f8, 8, 1);
    expect_refused("8 bytes wide");
}

static void refuses_counts_that_do_not_fit(void **state UNUSED)
{
    /* The last two make a width of 4 and 2 wrap to 0. */
    static const uint32_t counts[] = {0, MAILBOX_DATA_LEN + 1, 0x7fffffff, UINT32_MAX, 0x40000000, 0x80000000};
    static const uint32_t widths[] = {1, 2, 4};
    for (unsigned int i = 0; i < ARRAY_COUNT(counts); i++) {
        for (unsigned int j = 0; j < ARRAY_COUNT(widths); j++) {
            fill(MAILBOX_PORT, 1, 0x3f8, widths[j], counts[i]);
            expect_refused("items");
            fill(MAILBOX_PORT, 0, 0x3f8, widths[j], counts[i]);
            expect_refused("items");
        }
    }
    fill(MAILBOX_REGISTER, 1, LAYOUT_REGISTERS_GPA, 4, 2);
    expect_refused("2 items");
    fill(MAILBOX_REGISTER, 0, LAYOUT_REGISTERS_GPA, 4, 0);
    expect_refused("0 items");
}

static void refuses_ports_beyond_16_bits(void **state UNUSED)
{
    static const uint64_t ports[] = {0x10000, 0x103f8, 1ull << 32 | 0x3f8, UINT64_MAX};
    for (unsigned int i = 0; i < ARRAY_COUNT(ports); i++) {
        fill(MAILBOX_PORT, 1, ports[i], 1, 1);
        expect_refused("port 0x");
    }
}

/* Anything: taken whole within bounds, or refused without a trace. */
static void survives_random_mailboxes(void **state UNUSED)
{
    uint64_t random = 88172645463325252ull;
    unsigned int taken = 0;
    for (unsigned int i = 0; i < 200000; i++) {
        uint64_t parts[5];
        for (unsigned int j = 0; j < ARRAY_COUNT(parts); j++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            /* Small ones more often than not, or nothing would pass. */
            parts[j] = random >> (random % 4 == 0 ? 0 : 48 + random % 16);
        }
        mailbox.kind = (uint32_t)parts[0];
        mailbox.is_write = (uint32_t)parts[1];
        mailbox.width = (uint32_t)parts[2];
        mailbox.count = (uint32_t)parts[3];
        mailbox.address = parts[4];
        struct process_request request;
        struct error error = {0};
        if (process_request_take(&mailbox, data, &request, &error)) {
            taken++;
            assert_true((uint64_t)request.access.width * request.access.count <= MAILBOX_DATA_LEN);
            assert_true(request.access.count > 0);
            assert_true(!request.is_port || request.access.address <= 0xffff);
        }
    }
    assert_true(taken > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_write),
        cmocka_unit_test(takes_a_read_with_nothing_of_the_guest_in_it),
        cmocka_unit_test(takes_as_much_as_a_mailbox_holds),
        cmocka_unit_test(refuses_unknown_kinds),
        cmocka_unit_test(refuses_widths_that_no_instruction_has),
        cmocka_unit_test(refuses_counts_that_do_not_fit),
        cmocka_unit_test(refuses_ports_beyond_16_bits),
        cmocka_unit_test(survives_random_mailboxes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
