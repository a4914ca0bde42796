/* SPDX-License-Identifier: Apache-2.0 */
#include "host/vmm/trial.h"

#include <string.h>

#include "base/checked.h"

static bool machine_prepare(struct engine *engine, struct guest_memory *memory, struct span code, struct error *error)
{
    const struct engine_operations *operations = engine->operations;
    struct vcpu_start start = {
        .entry_gpa = LAYOUT_PROGRAM_GPA,
        .stack_top_gpa = LAYOUT_STACK_TOP_GPA(0),
        .thread_block_gpa = LAYOUT_THREAD_BLOCK_GPA(0),
    };
    memcpy(guest_memory_low(memory, LAYOUT_PROGRAM_GPA, LAYOUT_PAGE_LEN), code.data,
           (size_t)min_u64(code.len, LAYOUT_PAGE_LEN));
    return operations->map(engine, LAYOUT_PROGRAM_GPA, LAYOUT_PAGE_LEN, GUEST_READ_EXECUTE, error) &&
           operations->vcpu_reset(engine, 0, &start, error) && operations->start(engine, error);
}

bool trial_run(const struct engine_operations *operations, struct span code, bool *ret_reaches_port,
               struct error *error)
{
    struct guest_memory memory;
    struct guest_memory_config config = {.device_count = 1,
                                         .arena_len = LAYOUT_HUGE_PAGE_LEN,
                                         .is_sparse = true,
                                         .is_shared = operations->shares_memory};
    struct engine_setup setup = {.vcpu_count = 1, .interrupt_fd = -1};
    struct engine *engine = NULL;
    struct vcpu_exit exit;
    RETURN_IF_FAILED(guest_memory_init(&memory, &config, error));
    bool is_done = operations->create(&memory, &setup, &engine, error) &&
                   machine_prepare(engine, &memory, code, error) && operations->vcpu_run(engine, 0, &exit, error);
    if (engine != NULL) {
        operations->release(engine);
    }
    guest_memory_release(&memory);
    if (is_done) {
        *ret_reaches_port = exit.kind == VCPU_EXIT_PORT;
    }
    return is_done;
}
