/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attributes.h"
#include "host/vmm/guest_memory.h"

#define ARENA_LEN (2 * LAYOUT_HUGE_PAGE_LEN)
#define DATA_LEN (LAYOUT_QUEUES_LEN + ARENA_LEN)
#define DEVICE_COUNT 3u

static struct guest_memory make(bool is_shared)
{
    struct guest_memory memory;
    struct guest_memory_config config = {.device_count = DEVICE_COUNT, .arena_len = ARENA_LEN, .is_shared = is_shared};
    struct error error = {0};
    assert_true(guest_memory_init(&memory, &config, &error));
    return memory;
}

static void gives_data_memory_to_untrusted_addresses_and_nothing_else(void **state UNUSED)
{
    struct guest_memory memory = make(false);
    uint8_t *host = NULL;
    const uint64_t end_gpa = LAYOUT_DATA_GPA + DATA_LEN;

    assert_true(guest_memory_data(&memory, LAYOUT_DATA_GPA, DATA_LEN, &host));
    assert_ptr_equal(host, memory.data);
    assert_true(guest_memory_data(&memory, end_gpa - 1, 1, &host));
    assert_ptr_equal(host, memory.data + DATA_LEN - 1);
    assert_true(guest_memory_data(&memory, end_gpa, 0, &host));

    static const struct {
        uint64_t gpa;
        uint64_t len;
    } outside[] = {
        {0, 1},
        {LAYOUT_BOOT_INFO_GPA, 1},
        {LAYOUT_PAGE_TABLES_GPA, 8},
        {LAYOUT_MAILBOXES_GPA, 4},
        {LAYOUT_REPORT_GPA, 4},
        {LAYOUT_PROGRAM_GPA, 1},
        {LAYOUT_REGISTERS_GPA, 4},
        {LAYOUT_GATE_GPA, 1},
        {LAYOUT_DATA_GPA - 1, 1},
        {LAYOUT_DATA_GPA - 1, 2},
        {LAYOUT_DATA_GPA, DATA_LEN + 1},
        {LAYOUT_DATA_GPA + DATA_LEN - 1, 2},
        {LAYOUT_DATA_GPA + DATA_LEN, 1},
        {LAYOUT_DATA_GPA, UINT64_MAX},
        {LAYOUT_DATA_GPA + 1, UINT64_MAX},
        {UINT64_MAX, 1},
        {UINT64_MAX, UINT64_MAX},
        {0, UINT64_MAX},
        {LAYOUT_DATA_GPA - 16, UINT64_MAX - 8}, /* wraps to before its start */
    };
    for (unsigned int i = 0; i < ARRAY_COUNT(outside); i++) {
        host = NULL;
        assert_false(guest_memory_data(&memory, outside[i].gpa, outside[i].len, &host));
        assert_null(host);
    }
    guest_memory_release(&memory);
}

/* One memory slot for both. */
static void has_data_memory_behind_low_memory(void **state UNUSED)
{
    struct guest_memory memory = make(false);
    assert_ptr_equal(memory.data, memory.low + LAYOUT_LOW_LEN);
    assert_int_equal((uintptr_t)memory.data % LAYOUT_HUGE_PAGE_LEN, 0);
    guest_memory_release(&memory);
}

static void is_zero_and_writable(void **state UNUSED)
{
    for (unsigned int is_shared = 0; is_shared <= 1; is_shared++) {
        struct guest_memory memory = make(is_shared != 0);
        uint8_t *places[] = {
            memory.low,       memory.low + LAYOUT_LOW_LEN - 1,
            memory.registers, memory.registers + DEVICE_COUNT * LAYOUT_REGISTERS_STRIDE - 1,
            memory.data,      memory.data + DATA_LEN - 1,
        };
        for (unsigned int i = 0; i < ARRAY_COUNT(places); i++) {
            assert_int_equal(*places[i], 0);
            *places[i] = (uint8_t)(i + 1);
        }
        for (unsigned int i = 0; i < ARRAY_COUNT(places); i++) {
            assert_int_equal(*places[i], i + 1);
        }
        guest_memory_release(&memory);
    }
}

/* Whoever maps the file where file_off says sees the same bytes. */
/* Whether the mapping that begins at `address` has this flag, two letters of VmFlags (proc(5)). */
static bool mapping_has_flag(const void *address, const char *flag)
{
    char line[1024];
    bool is_there = false;
    bool has_flag = false;
    FILE *file = fopen("/proc/self/smaps", "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        char *rest;
        uintptr_t start = strtoull(line, &rest, 16);
        if (*rest == '-') {
            uintptr_t end = strtoull(rest + 1, NULL, 16);
            is_there = start <= (uintptr_t)address && (uintptr_t)address < end;
        } else if (is_there && strncmp(line, "VmFlags:", 8) == 0) {
            has_flag = strstr(line, flag) != NULL;
        }
    }
    fclose(file);
    return has_flag;
}

static void is_left_out_of_core_dumps(void **state UNUSED)
{
    static uint8_t ordinary[4096];
    assert_true(mapping_has_flag(ordinary, " rd"));
    assert_false(mapping_has_flag(ordinary, " dd"));
    for (int is_shared = 0; is_shared < 2; is_shared++) {
        struct guest_memory memory = make(is_shared == 1);
        assert_true(mapping_has_flag(memory.low, " dd"));
        assert_true(mapping_has_flag(memory.data, " dd"));
        assert_true(mapping_has_flag(memory.data + memory.data_len - 1, " dd"));
        guest_memory_release(&memory);
    }
}

static void shares_its_content_by_file(void **state UNUSED)
{
    struct guest_memory memory = make(true);
    static const uint64_t gpas[] = {LAYOUT_BOOT_INFO_GPA, LAYOUT_REGISTERS_DEVICE_GPA(2), LAYOUT_DATA_GPA,
                                    LAYOUT_DATA_GPA + DATA_LEN - LAYOUT_PAGE_LEN};
    uint8_t *const host[] = {memory.low + LAYOUT_BOOT_INFO_GPA, memory.registers + 2 * LAYOUT_REGISTERS_STRIDE,
                             memory.data, memory.data + DATA_LEN - LAYOUT_PAGE_LEN};
    for (unsigned int i = 0; i < ARRAY_COUNT(gpas); i++) {
        off_t off = (off_t)guest_memory_file_off(&memory, gpas[i], LAYOUT_PAGE_LEN);
        uint8_t *other = mmap(NULL, LAYOUT_PAGE_LEN, PROT_READ, MAP_SHARED, memory.shared_fd, off);
        assert_ptr_not_equal(other, MAP_FAILED);
        host[i][77] = (uint8_t)(0x40 + i);
        assert_int_equal(other[77], 0x40 + i);
        munmap(other, LAYOUT_PAGE_LEN);
    }
    guest_memory_release(&memory);
}

/* Who gets the file of data memory alone has no way to the rest. */
static void shares_nothing_but_data(void **state UNUSED)
{
    struct guest_memory memory;
    struct guest_memory_config config = {
        .device_count = 3, .arena_len = DATA_LEN - LAYOUT_QUEUES_LEN, .is_data_shared = true};
    struct error error = {0};
    assert_true(guest_memory_init(&memory, &config, &error));
    assert_int_equal(lseek(memory.shared_fd, 0, SEEK_END), DATA_LEN);
    uint8_t *other = mmap(NULL, DATA_LEN, PROT_READ, MAP_SHARED, memory.shared_fd, (off_t)memory.shared_data_off);
    assert_ptr_not_equal(other, MAP_FAILED);
    memory.data[0] = 1;
    memory.data[DATA_LEN - 1] = 2;
    assert_int_equal(other[0], 1);
    assert_int_equal(other[DATA_LEN - 1], 2);
    munmap(other, DATA_LEN);
    assert_int_not_equal(ftruncate(memory.shared_fd, 0), 0);
    guest_memory_release(&memory);
}

/* As when a disk is measured that is not there: no image, and nothing that one could lead to. */
static void does_without_devices(void **state UNUSED)
{
    for (int is_shared = 0; is_shared < 2; is_shared++) {
        struct guest_memory memory;
        struct guest_memory_config config = {.arena_len = ARENA_LEN, .is_shared = is_shared != 0};
        struct error error = {0};
        assert_true(guest_memory_init(&memory, &config, &error));
        assert_null(memory.registers);
        memory.data[DATA_LEN - 1] = 1;
        guest_memory_release(&memory);
    }
}

static void stays_when_its_file_is_closed(void **state UNUSED)
{
    struct guest_memory memory = make(true);
    guest_memory_close_file(&memory);
    assert_int_equal(memory.shared_fd, -1);
    memory.data[DATA_LEN - 1] = 1;
    guest_memory_close_file(&memory);
    guest_memory_release(&memory);
}

/* A shorter file would turn accesses of ours into SIGBUS. */
static void seals_the_length_of_its_file(void **state UNUSED)
{
    struct guest_memory memory = make(true);
    assert_int_not_equal(ftruncate(memory.shared_fd, 0), 0);
    assert_int_not_equal(ftruncate(memory.shared_fd, 1l << 40), 0);
    assert_int_not_equal(fcntl(memory.shared_fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    guest_memory_release(&memory);
}

static void takes_pages_of_the_process_in(void **state UNUSED)
{
    struct guest_memory memory = make(false);
    const size_t len = 2 * LAYOUT_PAGE_LEN;
    uint8_t *pages = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(pages, MAP_FAILED);
    memset(pages, 0x5a, len);
    assert_int_equal(mprotect(pages, len, PROT_READ), 0);
    assert_true(guest_memory_move_in(&memory, LAYOUT_PROGRAM_GPA, pages, len - 1));
    uint8_t *low = guest_memory_low(&memory, LAYOUT_PROGRAM_GPA - 1, len + 2);
    assert_int_equal(low[0], 0);
    assert_int_equal(low[1], 0x5a);
    assert_int_equal(low[len], 0x5a);
    assert_int_equal(low[len + 1], 0);
    assert_int_equal(msync(pages, len, MS_ASYNC), -1); /* nothing is mapped there any more */
    assert_int_equal(errno, ENOMEM);
    guest_memory_release(&memory);
}

static void does_not_take_in_what_does_not_begin_on_a_page(void **state UNUSED)
{
    struct guest_memory memory = make(false);
    static const uint8_t bytes[3 * LAYOUT_PAGE_LEN] = {1};
    const uint8_t *inside = bytes + (LAYOUT_PAGE_LEN - (uintptr_t)bytes % LAYOUT_PAGE_LEN) + 16;
    assert_false(guest_memory_move_in(&memory, LAYOUT_PROGRAM_GPA, inside, 64));
    *guest_memory_low(&memory, LAYOUT_PROGRAM_GPA, 1) = 1; /* still ours */
    guest_memory_release(&memory);
}

static void releases_what_was_never_made(void **state UNUSED)
{
    struct guest_memory memory = {0};
    guest_memory_release(&memory);
    assert_null(memory.low);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_data_memory_to_untrusted_addresses_and_nothing_else),
        cmocka_unit_test(has_data_memory_behind_low_memory),
        cmocka_unit_test(is_zero_and_writable),
        cmocka_unit_test(is_left_out_of_core_dumps),
        cmocka_unit_test(shares_its_content_by_file),
        cmocka_unit_test(shares_nothing_but_data),
        cmocka_unit_test(does_without_devices),
        cmocka_unit_test(stays_when_its_file_is_closed),
        cmocka_unit_test(seals_the_length_of_its_file),
        cmocka_unit_test(takes_pages_of_the_process_in),
        cmocka_unit_test(does_not_take_in_what_does_not_begin_on_a_page),
        cmocka_unit_test(releases_what_was_never_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
