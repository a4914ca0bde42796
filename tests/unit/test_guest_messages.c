/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <pb_decode.h>
#include <pb_encode.h>

#include "abi/framing.h"
#include "abi/layout.h"
#include "abi/ports.h"
#include "base/endian.h"
#include "guest/runtime/debug.h"
#include "guest/runtime/messages.h"
#include "test_guest_machine.h"

static int start(void **state)
{
    (void)state;
    fake_machine_start(1);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fake_machine_stop();
    return 0;
}

/* The only message that was sent. */
static instar_GuestMessage sent_message(void)
{
    uint64_t len;
    const uint8_t *frame = fake_machine_output(PORT_MESSAGE_DATA, &len);
    struct le32 head;
    assert_true(len > sizeof(head));
    memcpy(&head, frame, sizeof(head));
    assert_int_equal(le32_get(head), len - sizeof(head));
    instar_GuestMessage message = instar_GuestMessage_init_zero;
    pb_istream_t stream = pb_istream_from_buffer(frame + sizeof(head), le32_get(head));
    assert_true(pb_decode(&stream, instar_GuestMessage_fields, &message));
    return message;
}

static void init_is_sent(void **state)
{
    (void)state;
    messages_post_init("copy", 3, 2);
    messages_flush();
    instar_GuestMessage message = sent_message();
    assert_int_equal(message.which_kind, instar_GuestMessage_init_tag);
    assert_string_equal(message.kind.init.program, "copy");
    assert_int_equal(message.kind.init.vcpus, 3);
    assert_int_equal(message.kind.init.devices, 2);
}

static void capacity_counts_a_partial_sector(void **state)
{
    (void)state;
    messages_send_capacity("input", 8193, 4096);
    instar_GuestMessage message = sent_message();
    assert_int_equal(message.which_kind, instar_GuestMessage_capacity_tag);
    assert_string_equal(message.kind.capacity.device, "input");
    assert_int_equal(message.kind.capacity.sectors, 3);
    assert_int_equal(message.kind.capacity.sector_size, 4096);
    assert_int_equal(message.kind.capacity.bytes, 8193);
}

static void progress_and_completion_are_sent(void **state)
{
    (void)state;
    messages_send_progress(&(instar_ProgressMessage){.sectors = 10, .total_sectors = 20, .bytes = 30});
    instar_GuestMessage message = sent_message();
    assert_int_equal(message.which_kind, instar_GuestMessage_progress_tag);
    assert_int_equal(message.kind.progress.total_sectors, 20);
    fake_machine_stop();
    fake_machine_start(1);
    messages_send_complete(&(instar_CompleteMessage){.success = true, .bytes_read = 1ull << 62});
    message = sent_message();
    assert_int_equal(message.which_kind, instar_GuestMessage_complete_tag);
    assert_true(message.kind.complete.success);
    assert_false(message.kind.complete.has_error);
    assert_true(message.kind.complete.bytes_read == 1ull << 62);
}

static void failure_carries_the_error_cut_to_its_field(void **state)
{
    (void)state;
    struct error error = {0};
    char detail[ERROR_DETAIL_LEN];
    memset(detail, 'd', sizeof(detail));
    detail[sizeof(detail) - 1] = '\0';
    (void)error_set(&error, ERROR_IO, "input", "%s", detail);
    messages_send_failure(&error);
    instar_GuestMessage message = sent_message();
    const instar_ErrorMessage *sent = &message.kind.complete.error;
    assert_int_equal(message.which_kind, instar_GuestMessage_complete_tag);
    assert_false(message.kind.complete.success);
    assert_true(message.kind.complete.has_error);
    assert_int_equal(sent->kind, ERROR_IO);
    assert_string_equal(sent->place, "input");
    assert_int_equal(strlen(sent->detail), sizeof(sent->detail) - 1);
}

/* Frames a configuration as the host does. Returns the frame's length. */
static size_t frame_config(const instar_VmmConfig *config, uint8_t *frame, size_t frame_len)
{
    pb_ostream_t stream = pb_ostream_from_buffer(frame + FRAME_HEAD_LEN, frame_len - FRAME_HEAD_LEN);
    assert_true(pb_encode(&stream, instar_VmmConfig_fields, config));
    struct le32 head = le32_make((uint32_t)stream.bytes_written);
    memcpy(frame, &head, sizeof(head));
    return FRAME_HEAD_LEN + stream.bytes_written;
}

static void configuration_is_received(void **state)
{
    (void)state;
    static uint8_t frame[FRAME_HEAD_LEN + FRAME_BODY_MAX];
    instar_VmmConfig config = {.devices_count = 2, .progress_percent = 10, .request_len = 512, .sync = true};
    memcpy(config.devices[1].name, "output", sizeof("output"));
    config.devices[1].sector_size = 4096;
    fake_machine_set_input(frame, frame_config(&config, frame, sizeof(frame)));
    instar_VmmConfig received = instar_VmmConfig_init_zero;
    struct error error = {0};
    assert_true(messages_receive_config(&received, &error));
    assert_int_equal(received.devices_count, 2);
    assert_string_equal(received.devices[1].name, "output");
    assert_int_equal(received.devices[1].sector_size, 4096);
    assert_int_equal(received.progress_percent, 10);
    assert_int_equal(received.request_len, 512);
    assert_true(received.sync);
}

static void largest_configuration_fits(void **state)
{
    (void)state;
    static uint8_t frame[FRAME_HEAD_LEN + FRAME_BODY_MAX];
    static instar_VmmConfig config, received;
    config.devices_count = ARRAY_COUNT(config.devices);
    for (unsigned int i = 0; i < ARRAY_COUNT(config.devices); i++) {
        memset(config.devices[i].name, 'n', sizeof(config.devices[i].name) - 1);
        config.devices[i].sector_size = UINT32_MAX;
    }
    fake_machine_set_input(frame, frame_config(&config, frame, sizeof(frame)));
    struct error error = {0};
    assert_true(messages_receive_config(&received, &error));
    assert_int_equal(received.devices_count, ARRAY_COUNT(config.devices));
}

static void expect_config_refused(const uint8_t *frame, size_t len)
{
    static instar_VmmConfig received;
    struct error error = {0};
    fake_machine_set_input(frame, len);
    assert_false(messages_receive_config(&received, &error));
    assert_int_equal(error.kind, ERROR_HOST);
}

static void impossible_length_is_refused_before_it_is_read(void **state)
{
    (void)state;
    expect_config_refused((const uint8_t[]){(LAYOUT_MESSAGE_LEN + 1) & 0xff, (LAYOUT_MESSAGE_LEN + 1) >> 8, 0, 0}, 4);
    expect_config_refused((const uint8_t[]){0xff, 0xff, 0xff, 0xff}, 4);
    expect_config_refused((const uint8_t[]){0, 0, 0, 0}, 4);
}

static void malformed_configuration_is_refused(void **state)
{
    (void)state;
    /* A device whose name is longer than its message. */
    expect_config_refused((const uint8_t[]){4, 0, 0, 0, 0x0a, 0x02, 0x0a, 0x7f}, 8);
}

static void debug_line_is_cut_and_ended(void **state)
{
    (void)state;
    char text[2 * DEBUG_LINE_LEN];
    memset(text, 't', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    uint64_t len;
    debug_print("%s %d", "number", 7);
    const uint8_t *output = fake_machine_output(PORT_DEBUG_DATA, &len);
    assert_int_equal(len, 9);
    assert_memory_equal(output, "number 7\n", 9);
    debug_print("%s", text);
    output = fake_machine_output(PORT_DEBUG_DATA, &len);
    assert_int_equal(len, 9 + DEBUG_LINE_LEN);
    assert_int_equal(output[len - 2], 't');
    assert_int_equal(output[len - 1], '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(init_is_sent, start, stop),
        cmocka_unit_test_setup_teardown(capacity_counts_a_partial_sector, start, stop),
        cmocka_unit_test_setup_teardown(progress_and_completion_are_sent, start, stop),
        cmocka_unit_test_setup_teardown(failure_carries_the_error_cut_to_its_field, start, stop),
        cmocka_unit_test_setup_teardown(configuration_is_received, start, stop),
        cmocka_unit_test_setup_teardown(largest_configuration_fits, start, stop),
        cmocka_unit_test_setup_teardown(impossible_length_is_refused_before_it_is_read, start, stop),
        cmocka_unit_test_setup_teardown(malformed_configuration_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(debug_line_is_cut_and_ended, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
