/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest says about ports, message by message. It includes the device's source. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/devices/console_ports_device.c"

#include "base/attributes.h"

static bool say(struct console_ports *console, uint32_t id, uint16_t event, uint16_t value)
{
    struct error error = {0};
    struct virtio_console_control control = {id, event, value};
    bool is_good = control_handle(console, &control, &error);
    assert_int_equal(error.kind, is_good ? ERROR_NONE : ERROR_GUEST);
    return is_good;
}

static void a_port_becomes_ready_then_open(void **state UNUSED)
{
    struct console_ports console = {0};
    assert_true(say(&console, 0, VIRTIO_CONSOLE_DEVICE_READY, 1));
    for (uint32_t id = 0; id < CONSOLE_PORT_COUNT; id++) {
        struct port *port = &console.ports[id];
        assert_int_equal(port->tell, TELL_ADDED);
        port->tell = 0;
        assert_true(say(&console, id, VIRTIO_CONSOLE_PORT_READY, 1));
        assert_int_equal(port->tell, TELL_NAME | TELL_OPEN);
        assert_false(port->is_open);
        assert_true(say(&console, id, VIRTIO_CONSOLE_PORT_OPEN, 1));
        assert_true(port->is_open);
        assert_true(say(&console, id, VIRTIO_CONSOLE_PORT_OPEN, 0));
        assert_false(port->is_open);
    }
}

/* Saying it again tells nothing new, so that what is to be told has a bound. */
static void what_is_known_is_not_told_again(void **state UNUSED)
{
    struct console_ports console = {0};
    for (unsigned int i = 0; i < 3; i++) {
        assert_true(say(&console, 0, VIRTIO_CONSOLE_DEVICE_READY, 1));
        assert_true(say(&console, 1, VIRTIO_CONSOLE_PORT_READY, 1));
        assert_int_equal(console.ports[1].tell, i == 0 ? TELL_ADDED | TELL_NAME | TELL_OPEN : 0);
        console.ports[1].tell = 0;
    }
    assert_int_equal(console.ports[0].tell, TELL_ADDED);
}

static void messages_out_of_place_are_errors(void **state UNUSED)
{
    static const struct {
        bool is_ready; /* the device, and port 0 */
        struct virtio_console_control control;
    } cases[] = {
        {false, {0, VIRTIO_CONSOLE_PORT_READY, 1}},
        {false, {0, VIRTIO_CONSOLE_PORT_OPEN, 1}},
        {true, {1, VIRTIO_CONSOLE_PORT_OPEN, 1}},
        {true, {1, VIRTIO_CONSOLE_PORT_OPEN, 0}},
        {true, {CONSOLE_PORT_COUNT, VIRTIO_CONSOLE_PORT_READY, 1}},
        {true, {CONSOLE_PORT_COUNT, VIRTIO_CONSOLE_PORT_OPEN, 1}},
        {true, {UINT32_MAX, VIRTIO_CONSOLE_PORT_OPEN, 1}},
        {true, {0, VIRTIO_CONSOLE_DEVICE_READY, 0}},
        {true, {0, VIRTIO_CONSOLE_PORT_READY, 0}},
        {true, {0, VIRTIO_CONSOLE_PORT_OPEN, 2}},
        {true, {0, VIRTIO_CONSOLE_PORT_OPEN, UINT16_MAX}},
        {true, {0, VIRTIO_CONSOLE_DEVICE_ADD, 1}},
        {true, {0, VIRTIO_CONSOLE_DEVICE_REMOVE, 1}},
        {true, {0, VIRTIO_CONSOLE_CONSOLE_PORT, 1}},
        {true, {0, VIRTIO_CONSOLE_RESIZE, 1}},
        {true, {0, VIRTIO_CONSOLE_PORT_NAME, 1}},
        {true, {0, UINT16_MAX, 1}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct virtio_console_control *control = &cases[i].control;
        struct console_ports console = {.is_ready = cases[i].is_ready, .ports = {{.is_ready = cases[i].is_ready}}};
        assert_false(say(&console, control->id, control->event, control->value));
        assert_false(console.ports[0].is_open);
        assert_false(console.ports[1].is_open);
    }
}

/* Any number of a port is looked at before it is used; READY of the device has none. */
static void a_ready_device_may_have_any_number(void **state UNUSED)
{
    struct console_ports console = {0};
    assert_true(say(&console, UINT32_MAX, VIRTIO_CONSOLE_DEVICE_READY, 1));
    assert_true(console.is_ready);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_becomes_ready_then_open),
        cmocka_unit_test(what_is_known_is_not_told_again),
        cmocka_unit_test(messages_out_of_place_are_errors),
        cmocka_unit_test(a_ready_device_may_have_any_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
