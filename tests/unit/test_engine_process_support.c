/* SPDX-License-Identifier: Apache-2.0 */
#include "test_engine_process_support.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

static void map(struct guest *guest, uint64_t gpa, uint64_t len, enum guest_access access)
{
    assert_true(operations->map(guest->engine, gpa, len, access, &guest->error));
}

void guest_make(struct guest *guest, const struct span *pieces, unsigned int vcpu_count)
{
    *guest = (struct guest){.engine = NULL};
    struct guest_memory_config config = {
        .device_count = 1, .arena_len = LAYOUT_HUGE_PAGE_LEN, .is_shared = operations->shares_memory};
    assert_true(guest_memory_init(&guest->memory, &config, &guest->error));
    struct engine_setup setup = {.vcpu_count = vcpu_count, .interrupt_fd = -1};
    assert_true(operations->create(&guest->memory, &setup, &guest->engine, &guest->error));
    map(guest, LAYOUT_BOOT_INFO_GPA, LAYOUT_BOOT_INFO_LEN, GUEST_READ);
    map(guest, LAYOUT_PROGRAM_GPA, vcpu_count * LAYOUT_PAGE_LEN, GUEST_READ_EXECUTE);
    map(guest, LAYOUT_REGISTERS_GPA, guest->memory.registers_len, GUEST_REGISTERS);
    map(guest, LAYOUT_DATA_GPA, guest->memory.data_len, GUEST_READ_WRITE);
    for (unsigned int i = 0; i < vcpu_count; i++) {
        uint64_t entry_gpa = LAYOUT_PROGRAM_GPA + i * LAYOUT_PAGE_LEN;
        memcpy(guest_memory_low(&guest->memory, entry_gpa, LAYOUT_PAGE_LEN), pieces[i].data, pieces[i].len);
        map(guest, LAYOUT_STACK_BOTTOM_GPA(i), LAYOUT_STACK_TOP_GPA(i) - LAYOUT_STACK_BOTTOM_GPA(i), GUEST_READ_WRITE);
        map(guest, LAYOUT_THREAD_BLOCK_GPA(i), LAYOUT_THREAD_BLOCK_LEN, GUEST_READ_WRITE);
        struct vcpu_start start = {
            .entry_gpa = entry_gpa,
            .stack_top_gpa = LAYOUT_STACK_TOP_GPA(i),
            .thread_block_gpa = LAYOUT_THREAD_BLOCK_GPA(i),
            .arguments = {LAYOUT_BOOT_INFO_GPA, i},
        };
        assert_true(operations->vcpu_reset(guest->engine, i, &start, &guest->error));
    }
}

void guest_start(struct guest *guest, struct span piece)
{
    guest_make(guest, &piece, 1);
    if (!operations->start(guest->engine, &guest->error)) {
        fail_msg("%s", guest->error.detail);
    }
}

void guest_end(struct guest *guest)
{
    operations->release(guest->engine);
    guest_memory_release(&guest->memory);
    /* Nothing is left to reap. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

uint64_t *guest_words(struct guest *guest)
{
    return (uint64_t *)guest->memory.data;
}

bool guest_run(struct guest *guest)
{
    return operations->vcpu_run(guest->engine, 0, &guest->exit, &guest->error);
}

void guest_expect_error(struct guest *guest, enum error_kind kind, const char *detail)
{
    if (guest_run(guest)) {
        fail_msg("an exit of kind %d, not \"%s\"", guest->exit.kind, detail);
    }
    if (guest->error.kind != kind || strstr(guest->error.detail, detail) == NULL) {
        fail_msg("\"%s\" (%d), not \"%s\"", guest->error.detail, guest->error.kind, detail);
    }
}

int engine_probe(void **state UNUSED)
{
    struct error reason = {0};
    return operations->probe(&reason) ? 0 : -1;
}
