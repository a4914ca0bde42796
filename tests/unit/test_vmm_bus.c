/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attributes.h"
#include "host/vmm/bus.h"

struct device {
    unsigned int calls;
    uint64_t off;
    bool fails;
};

static bool device_access(void *context, uint64_t off, const struct bus_access *access UNUSED, struct error *error)
{
    struct device *device = context;
    device->calls++;
    device->off = off;
    return !device->fails || error_set(error, ERROR_GUEST, "device", "no");
}

static struct bus_access access_at(uint64_t address, uint32_t width)
{
    static uint8_t data[8];
    return (struct bus_access){.is_write = true, .address = address, .width = width, .count = 1, .data = data};
}

static void leads_to_the_device_that_owns_the_address(void **state UNUSED)
{
    struct device first = {0}, second = {0};
    struct bus bus = {.noun = "port"};
    bus_add(&bus, 0x100, 4, device_access, &first);
    bus_add(&bus, 0x104, 8, device_access, &second);
    struct error error = {0};

    struct bus_access access = access_at(0x100, 4);
    assert_true(bus_dispatch(&bus, &access, &error));
    access = access_at(0x103, 1);
    assert_true(bus_dispatch(&bus, &access, &error));
    assert_int_equal(first.calls, 2);
    assert_int_equal(first.off, 3);
    access = access_at(0x104, 8);
    assert_true(bus_dispatch(&bus, &access, &error));
    assert_int_equal(second.calls, 1);
    assert_int_equal(second.off, 0);
}

static void refuses_what_no_device_owns_whole(void **state UNUSED)
{
    struct device device = {0};
    struct bus bus = {.noun = "address"};
    bus_add(&bus, 0x100, 4, device_access, &device);
    static const struct {
        uint64_t address;
        uint32_t width;
    } outside[] = {{0xff, 1}, {0xff, 2}, {0x101, 4}, {0x103, 2}, {0x104, 1}, {0, 8}, {UINT64_MAX, 1}, {UINT64_MAX, 8}};
    for (unsigned int i = 0; i < ARRAY_COUNT(outside); i++) {
        struct bus_access access = access_at(outside[i].address, outside[i].width);
        struct error error = {0};
        assert_false(bus_dispatch(&bus, &access, &error));
        assert_int_equal(error.kind, ERROR_GUEST);
        assert_non_null(strstr(error.detail, "address 0x"));
    }
    assert_int_equal(device.calls, 0);
}

static void hands_the_device_s_error_on(void **state UNUSED)
{
    struct device device = {.fails = true};
    struct bus bus = {.noun = "port"};
    bus_add(&bus, 0, 1, device_access, &device);
    struct bus_access access = access_at(0, 1);
    struct error error = {0};
    assert_false(bus_dispatch(&bus, &access, &error));
    assert_string_equal(error.place, "device");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leads_to_the_device_that_owns_the_address),
        cmocka_unit_test(refuses_what_no_device_owns_whole),
        cmocka_unit_test(hands_the_device_s_error_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
