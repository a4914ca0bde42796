/* SPDX-License-Identifier: Apache-2.0 */
/* Page tables, read back by a walk that follows the processor's rules (Intel SDM volume 3, 4.5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "abi/layout.h"
#include "abi/transports/ivshmem.h"
#include "base/attributes.h"
#include "host/vmm/page_tables.h"

#define TABLES_GPA 0x20000ull
#define TABLE_COUNT 16u

#define PRESENT 1ull
#define WRITABLE 2ull
#define USER 4ull
#define HUGE 0x80ull
#define NO_EXECUTE (1ull << 63)

static uint8_t host[TABLE_COUNT * LAYOUT_PAGE_LEN] __attribute__((aligned(4096)));

static void start(struct page_tables *tables, unsigned int table_count)
{
    memset(host, 0, sizeof(host));
    page_tables_init(tables, host, TABLES_GPA, table_count * LAYOUT_PAGE_LEN);
}

/*
 * What ring 3 may do at `gpa`: PRESENT, WRITABLE, and NO_EXECUTE; 0 when it may not reach it. What it reaches there
 * lies `moved_len` bytes before it.
 */
static uint64_t rights_moved(const struct page_tables *tables, uint64_t gpa, uint64_t moved_len)
{
    uint64_t table_gpa = tables->gpa;
    uint64_t rights = WRITABLE | USER;
    uint64_t no_execute = 0;
    for (int level = 3; level >= 0; level--) {
        assert_in_range(table_gpa, TABLES_GPA, TABLES_GPA + tables->used_len - LAYOUT_PAGE_LEN);
        uint64_t entry;
        memcpy(&entry, host + (table_gpa - TABLES_GPA) + (gpa >> (12 + 9 * level)) % 512 * 8, sizeof(entry));
        if ((entry & PRESENT) == 0) {
            return 0;
        }
        rights &= entry;
        no_execute |= entry & NO_EXECUTE;
        uint64_t target_gpa = entry & 0x000ffffffffff000ull;
        if (level == 0 || (entry & HUGE) != 0) {
            uint64_t page_len = level == 0 ? LAYOUT_PAGE_LEN : LAYOUT_HUGE_PAGE_LEN;
            assert_true(level <= 1);
            assert_int_equal(target_gpa, (gpa & ~(page_len - 1)) - moved_len);
            break;
        }
        table_gpa = target_gpa;
    }
    return (rights & USER) != 0 ? PRESENT | (rights & WRITABLE) | no_execute : 0;
}

static uint64_t rights_at(const struct page_tables *tables, uint64_t gpa)
{
    return rights_moved(tables, gpa, 0);
}

static void maps_exactly_what_was_asked(void **state UNUSED)
{
    struct page_tables tables;
    struct error error = {0};
    start(&tables, TABLE_COUNT);
    assert_true(page_tables_map(&tables, 0x10000, 0x1000, PAGE_READ, &error));
    assert_true(page_tables_map(&tables, 0x14000, 0x3000, PAGE_SUPERVISOR, &error));
    assert_true(page_tables_map(&tables, 0x200000, 0x3000, PAGE_READ_EXECUTE, &error));
    assert_true(page_tables_map(&tables, 0x203000, 0x1000, PAGE_READ_WRITE, &error));
    static const struct {
        uint64_t gpa;
        uint64_t rights;
    } expected[] = {
        {0, 0},
        {0xf000, 0},
        {0x10000, PRESENT | NO_EXECUTE},
        {0x10fff, PRESENT | NO_EXECUTE},
        {0x11000, 0},
        {0x14000, 0},
        {0x16000, 0},
        {TABLES_GPA, 0},
        {0x1ff000, 0},
        {0x200000, PRESENT},
        {0x202fff, PRESENT},
        {0x203000, PRESENT | WRITABLE | NO_EXECUTE},
        {0x204000, 0},
        {0x100000000, 0},
        {0x7fffffffe000, 0},
    };
    for (unsigned int i = 0; i < ARRAY_COUNT(expected); i++) {
        assert_int_equal(rights_at(&tables, expected[i].gpa), expected[i].rights);
    }
}

static void uses_huge_pages_where_alignment_allows(void **state UNUSED)
{
    struct page_tables tables;
    struct error error = {0};
    start(&tables, TABLE_COUNT);
    /* 4 KiB pages up to the first boundary, one huge page, 4 KiB pages behind it. */
    assert_true(page_tables_map(&tables, 0x1001ff000ull, 0x202000, PAGE_READ_WRITE, &error));
    assert_int_equal(tables.used_len, 5 * LAYOUT_PAGE_LEN); /* root, two levels, and one at each end */
    assert_int_equal(rights_at(&tables, 0x1001fe000ull), 0);
    assert_int_equal(rights_at(&tables, 0x1001ff000ull), PRESENT | WRITABLE | NO_EXECUTE);
    assert_int_equal(rights_at(&tables, 0x1003ff000ull), PRESENT | WRITABLE | NO_EXECUTE);
    assert_int_equal(rights_at(&tables, 0x100400fffull), PRESENT | WRITABLE | NO_EXECUTE);
    assert_int_equal(rights_at(&tables, 0x100401000ull), 0);

    start(&tables, 3);
    assert_true(page_tables_map(&tables, 0x100000000ull, 0x40000000, PAGE_READ_WRITE, &error));
    assert_int_equal(rights_at(&tables, 0x13ffff000ull), PRESENT | WRITABLE | NO_EXECUTE);
}

static void maps_what_lies_elsewhere(void **state UNUSED)
{
    struct page_tables tables;
    struct error error = {0};
    start(&tables, TABLE_COUNT);
    const uint64_t moved_len = LAYOUT_DATA_GPA - LAYOUT_LOW_LEN;
    assert_true(page_tables_map_at(&tables, LAYOUT_DATA_GPA, LAYOUT_LOW_LEN, 0x401000, PAGE_READ_WRITE, &error));
    assert_int_equal(tables.used_len, 4 * LAYOUT_PAGE_LEN); /* two huge pages, and one that is not */
    assert_int_equal(rights_at(&tables, LAYOUT_LOW_LEN), 0);
    assert_int_equal(rights_moved(&tables, LAYOUT_DATA_GPA, moved_len), PRESENT | WRITABLE | NO_EXECUTE);
    assert_int_equal(rights_moved(&tables, LAYOUT_DATA_GPA + 0x400fff, moved_len), PRESENT | WRITABLE | NO_EXECUTE);
    assert_int_equal(rights_at(&tables, LAYOUT_DATA_GPA + 0x401000), 0);

    /* Where it lies is no place for a huge page. */
    start(&tables, TABLE_COUNT);
    assert_true(page_tables_map_at(&tables, LAYOUT_DATA_GPA, 0x1000, LAYOUT_HUGE_PAGE_LEN, PAGE_READ, &error));
    assert_int_equal(rights_moved(&tables, LAYOUT_DATA_GPA + 0x1ff000, LAYOUT_DATA_GPA - 0x1000), PRESENT | NO_EXECUTE);
    assert_int_equal(rights_at(&tables, LAYOUT_DATA_GPA + LAYOUT_HUGE_PAGE_LEN), 0);
}

static void maps_nothing_when_there_is_nothing(void **state UNUSED)
{
    struct page_tables tables;
    struct error error = {0};
    start(&tables, 1);
    assert_true(page_tables_map(&tables, LAYOUT_REGISTERS_GPA, 0, PAGE_READ_WRITE, &error));
    assert_int_equal(rights_at(&tables, LAYOUT_REGISTERS_GPA), 0);
}

static void fails_when_its_memory_is_used_up(void **state UNUSED)
{
    for (unsigned int count = 1; count < 4; count++) {
        struct page_tables tables;
        struct error error = {0};
        start(&tables, count);
        assert_false(page_tables_map(&tables, 0x200000, 0x1000, PAGE_READ, &error));
        assert_int_equal(error.kind, ERROR_HOST);
        assert_true(tables.used_len <= count * LAYOUT_PAGE_LEN);
    }
}

/* The largest machine that the layout permits. */
static void fits_the_memory_that_the_layout_has_for_it(void **state UNUSED)
{
    static uint8_t memory[LAYOUT_PAGE_TABLES_LEN] __attribute__((aligned(4096)));
    struct page_tables tables;
    struct error error = {0};
    page_tables_init(&tables, memory, LAYOUT_PAGE_TABLES_GPA, LAYOUT_PAGE_TABLES_LEN);
    assert_true(page_tables_map(&tables, LAYOUT_BOOT_INFO_GPA, LAYOUT_BOOT_INFO_LEN, PAGE_READ, &error));
    assert_true(page_tables_map(&tables, LAYOUT_TASK_STATE_GPA, LAYOUT_TASK_STATE_LEN, PAGE_SUPERVISOR, &error));
    assert_true(page_tables_map(&tables, LAYOUT_PROGRAM_GPA, LAYOUT_PROGRAM_LEN - 0x1000, PAGE_READ_EXECUTE, &error));
    for (unsigned int i = 0; i < LAYOUT_VCPU_MAX; i++) {
        assert_true(page_tables_map(&tables, LAYOUT_STACK_BOTTOM_GPA(i),
                                    LAYOUT_STACK_TOP_GPA(i) - LAYOUT_STACK_BOTTOM_GPA(i), PAGE_READ_WRITE, &error));
        assert_true(
            page_tables_map(&tables, LAYOUT_THREAD_BLOCK_GPA(i), LAYOUT_THREAD_BLOCK_LEN, PAGE_READ_WRITE, &error));
    }
    assert_true(page_tables_map(&tables, LAYOUT_REGISTERS_GPA, LAYOUT_DEVICE_MAX * LAYOUT_REGISTERS_STRIDE,
                                PAGE_READ_WRITE, &error));
    assert_true(
        page_tables_map(&tables, LAYOUT_DATA_GPA, LAYOUT_QUEUES_LEN + LAYOUT_ARENA_LEN_MAX, PAGE_READ_WRITE, &error));
    /* The windows of all transports: files of the greatest length as memory, and what two machines share. */
    assert_true(page_tables_map(&tables, LAYOUT_LATE_DOORBELL_GPA, LAYOUT_LATE_DOORBELL_LEN, PAGE_READ_WRITE, &error));
    assert_true(page_tables_map(&tables, LAYOUT_TRANSPORT_REGISTERS_GPA, LAYOUT_PAGE_LEN, PAGE_READ_WRITE, &error));
    assert_true(page_tables_map(&tables, LAYOUT_WINDOW_INPUT_GPA, LAYOUT_WINDOW_LEN_MAX, PAGE_READ, &error));
    assert_true(page_tables_map(&tables, LAYOUT_WINDOW_OUTPUT_GPA, LAYOUT_WINDOW_LEN_MAX, PAGE_READ_WRITE, &error));
    assert_true(page_tables_map(&tables, LAYOUT_WINDOW_DATA_GPA, IVSHMEM_READER_LEN, PAGE_READ, &error));
    assert_true(page_tables_map(&tables, LAYOUT_WINDOW_RESULT_GPA, IVSHMEM_WRITER_LEN, PAGE_READ_WRITE, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_exactly_what_was_asked),
        cmocka_unit_test(uses_huge_pages_where_alignment_allows),
        cmocka_unit_test(maps_what_lies_elsewhere),
        cmocka_unit_test(maps_nothing_when_there_is_nothing),
        cmocka_unit_test(fails_when_its_memory_is_used_up),
        cmocka_unit_test(fits_the_memory_that_the_layout_has_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
