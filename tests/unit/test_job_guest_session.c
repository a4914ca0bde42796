/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pb_encode.h>
#include <string.h>

#include "abi/layout.h"
#include "host/job/parent/guest_session.h"

static const struct error no_refusal;

static const instar_GuestMessage init = {.which_kind = instar_GuestMessage_init_tag,
                                         .kind.init = {.program = "copy", .vcpus = 1, .devices = 2}};
static const instar_GuestMessage success = {.which_kind = instar_GuestMessage_complete_tag,
                                            .kind.complete = {.success = true, .bytes_read = 7}};

static bool accept(struct guest_session *session, const instar_GuestMessage *message, struct error *error)
{
    uint8_t bytes[instar_GuestMessage_size];
    pb_ostream_t stream = pb_ostream_from_buffer(bytes, sizeof(bytes));
    assert_true(pb_encode(&stream, instar_GuestMessage_fields, message));
    return guest_session_accept(session, (struct span){bytes, stream.bytes_written}, error);
}

static void assert_accepted(struct guest_session *session, const instar_GuestMessage *message)
{
    struct error error = {0};
    assert_true(accept(session, message, &error));
    assert_false(error_is_set(&error));
}

static void assert_refused(struct guest_session *session, const instar_GuestMessage *message, const char *detail)
{
    struct error error = {0};
    assert_false(accept(session, message, &error));
    assert_int_equal(error.kind, ERROR_GUEST);
    assert_string_equal(error.detail, detail);
}

static instar_GuestMessage capacity(uint64_t sectors, uint32_t sector_size, uint64_t bytes)
{
    return (instar_GuestMessage){
        .which_kind = instar_GuestMessage_capacity_tag,
        .kind.capacity = {.device = "input", .sectors = sectors, .sector_size = sector_size, .bytes = bytes}};
}

static instar_GuestMessage progress(uint64_t sectors, uint64_t total_sectors, uint64_t bytes, uint64_t total_bytes)
{
    return (instar_GuestMessage){
        .which_kind = instar_GuestMessage_progress_tag,
        .kind.progress = {
            .sectors = sectors, .total_sectors = total_sectors, .bytes = bytes, .total_bytes = total_bytes}};
}

static void test_a_whole_session(void **state)
{
    (void)state;
    struct guest_session session = {0};
    struct error error = {0};
    instar_GuestMessage input = capacity(3, 512, 1025);
    instar_GuestMessage half = progress(1, 3, 512, 1025);
    assert_accepted(&session, &init);
    assert_string_equal(session.message.kind.init.program, "copy");
    assert_accepted(&session, &input);
    assert_accepted(&session, &half);
    assert_false(session.has_complete);
    assert_accepted(&session, &success);
    assert_true(guest_session_check_result(&session, &no_refusal, &error));
    assert_int_equal(session.complete.bytes_read, 7);
}

static void test_garbage(void **state)
{
    (void)state;
    static const uint8_t garbage[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct guest_session session = {0};
    struct error error = {0};
    assert_false(guest_session_accept(&session, (struct span){garbage, sizeof(garbage)}, &error));
    assert_int_equal(error.kind, ERROR_GUEST);
    assert_string_equal(error.detail, "the guest sent a malformed message");
}

static void test_every_truncation(void **state)
{
    (void)state;
    instar_GuestMessage message = {
        .which_kind = instar_GuestMessage_complete_tag,
        .kind.complete = {.has_error = true, .error = {.kind = 2, .place = "input", .detail = "broken"}}};
    uint8_t bytes[instar_GuestMessage_size];
    pb_ostream_t stream = pb_ostream_from_buffer(bytes, sizeof(bytes));
    assert_true(pb_encode(&stream, instar_GuestMessage_fields, &message));
    for (size_t len = 1; len < stream.bytes_written; len++) {
        struct guest_session session = {.has_init = true};
        struct error error = {0};
        assert_false(guest_session_accept(&session, (struct span){bytes, len}, &error));
        assert_int_equal(error.kind, ERROR_GUEST);
    }
}

static void test_an_empty_message(void **state)
{
    (void)state;
    struct guest_session session = {.has_init = true};
    struct error error = {0};
    assert_false(guest_session_accept(&session, (struct span){NULL, 0}, &error));
    assert_string_equal(error.detail, "the guest sent an empty message");
}

static void test_the_order(void **state)
{
    (void)state;
    struct guest_session session = {0};
    instar_GuestMessage start = progress(0, 1, 0, 512);
    assert_refused(&session, &start, "the guest did not introduce itself first");
    assert_refused(&session, &success, "the guest did not introduce itself first");
    assert_accepted(&session, &init);
    assert_refused(&session, &init, "the guest introduced itself twice");
    assert_accepted(&session, &success);
    assert_refused(&session, &success, "the guest sent a message after its result");
    assert_refused(&session, &start, "the guest sent a message after its result");
}

static void test_an_impossible_machine(void **state)
{
    (void)state;
    const struct {
        uint32_t vcpus;
        uint32_t devices;
    } impossible[] = {{0, 2}, {17, 2}, {1, LAYOUT_DEVICE_MAX + 1}};
    for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++) {
        struct guest_session session = {0};
        struct error error = {0};
        instar_GuestMessage message = {.which_kind = instar_GuestMessage_init_tag,
                                       .kind.init = {.vcpus = impossible[i].vcpus, .devices = impossible[i].devices}};
        assert_false(accept(&session, &message, &error));
        assert_int_equal(error.kind, ERROR_GUEST);
    }
}

static void test_capacities(void **state)
{
    (void)state;
    const struct {
        uint64_t sectors;
        uint32_t sector_size;
        uint64_t bytes;
        bool is_possible;
    } cases[] = {
        {0, 512, 0, true},
        {1, 512, 1, true},
        {1, 512, 512, true},
        {2, 16777216, 16777217, true},
        {0, 512, 1, false},
        {1, 512, 0, false},
        {1, 512, 513, false},
        {2, 512, 512, false},
        {1, 0, 0, false},
        {1, 256, 256, false},
        {1, 1000, 1000, false},
        {1, 33554432, 33554432, false},
        {UINT64_MAX, 512, UINT64_MAX, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct guest_session session = {.has_init = true};
        struct error error = {0};
        instar_GuestMessage message = capacity(cases[i].sectors, cases[i].sector_size, cases[i].bytes);
        assert_int_equal(accept(&session, &message, &error), cases[i].is_possible);
    }
}

static void test_progress_past_the_end(void **state)
{
    (void)state;
    struct guest_session session = {.has_init = true};
    instar_GuestMessage sectors = progress(2, 1, 0, 512);
    instar_GuestMessage bytes = progress(1, 1, 513, 512);
    assert_refused(&session, &sectors, "the guest says that it is past the end of its work");
    assert_refused(&session, &bytes, "the guest says that it is past the end of its work");
}

static void check_failure(const instar_CompleteMessage *complete, enum error_kind kind, const char *place,
                          const char *detail)
{
    static char input[] = "the input", output[] = "the output", late[] = "a backing file";
    static struct job_result result;
    result = (struct job_result){.devices = {{.path = input}, {.path = output}, {.path = late}}, .device_count = 3};
    struct guest_session session = {
        .devices = {.input_count = 1, .has_output = true, .result = &result},
        .has_complete = true,
        .complete = *complete,
    };
    struct error error = {0};
    assert_false(guest_session_check_result(&session, &no_refusal, &error));
    assert_int_equal(error.kind, kind);
    assert_string_equal(error.place, place);
    assert_string_equal(error.detail, detail);
}

static void test_failures_name_the_users_files(void **state)
{
    (void)state;
    instar_CompleteMessage complete = {.has_error = true, .error = {.kind = ERROR_IO, .detail = "cannot read"}};
    memcpy(complete.error.place, "input", 6);
    check_failure(&complete, ERROR_IO, "the input", "cannot read");
    memcpy(complete.error.place, "output", 7);
    check_failure(&complete, ERROR_IO, "the output", "cannot read");
    memcpy(complete.error.place, "device 2", 9);
    check_failure(&complete, ERROR_IO, "a backing file", "cannot read");
    static const char *const others[] = {
        "else", "device 3", "device", "device ", "device 1x", "device -1", "device 99999999999999999999"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        memcpy(complete.error.place, others[i], strlen(others[i]) + 1);
        check_failure(&complete, ERROR_IO, others[i], "cannot read");
    }
}

static void test_a_guest_cannot_invent_kinds(void **state)
{
    (void)state;
    const uint32_t kinds[] = {ERROR_NONE, ERROR_HOST, ERROR_GUEST, ERROR_INTERRUPTED, ERROR_KIND_LAST + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        instar_CompleteMessage complete = {.has_error = true, .error = {.kind = kinds[i], .detail = "x"}};
        check_failure(&complete, ERROR_GUEST, "", "x");
    }
}

static void test_a_refusal_is_told_by_the_host(void **state)
{
    (void)state;
    struct error refusal = {.kind = ERROR_REFUSED, .place = "image", .detail = "refused to open 'x'"};
    struct guest_session session = {.has_complete = true};
    session.complete = (instar_CompleteMessage){.has_error = true, .error = {.kind = ERROR_REFUSED, .detail = "no"}};
    struct error error = {0};
    assert_false(guest_session_check_result(&session, &refusal, &error));
    assert_string_equal(error.place, "image");
    assert_string_equal(error.detail, "refused to open 'x'");
    session.complete.error.kind = ERROR_MALFORMED;
    error = (struct error){0};
    assert_false(guest_session_check_result(&session, &refusal, &error));
    assert_string_equal(error.detail, "no");
}

static void test_a_failure_without_a_reason(void **state)
{
    (void)state;
    instar_CompleteMessage none = {0};
    instar_CompleteMessage empty = {.has_error = true};
    check_failure(&none, ERROR_GUEST, "", "the guest failed and did not say why");
    check_failure(&empty, ERROR_GUEST, "", "the guest failed and did not say why");
}

static void test_no_result(void **state)
{
    (void)state;
    struct guest_session session = {.has_init = true};
    struct error error = {0};
    assert_false(guest_session_check_result(&session, &no_refusal, &error));
    assert_int_equal(error.kind, ERROR_GUEST);
    assert_string_equal(error.detail, "the guest ended without a result");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_session),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_an_empty_message),
        cmocka_unit_test(test_the_order),
        cmocka_unit_test(test_an_impossible_machine),
        cmocka_unit_test(test_capacities),
        cmocka_unit_test(test_progress_past_the_end),
        cmocka_unit_test(test_failures_name_the_users_files),
        cmocka_unit_test(test_a_guest_cannot_invent_kinds),
        cmocka_unit_test(test_a_refusal_is_told_by_the_host),
        cmocka_unit_test(test_a_failure_without_a_reason),
        cmocka_unit_test(test_no_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
