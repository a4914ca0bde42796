/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/runtime/runtime.h"

#include <stdarg.h>
#include <stdbool.h>

#include "abi/ports.h"
#include "base/checked.h"
#include "guest/runtime/debug.h"
#include "guest/runtime/platform.h"

NO_RETURN void panic(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    debug_print_v(format, arguments);
    va_end(arguments);
    platform_exit(EXIT_PANIC);
}

__attribute__((weak)) void program_worker(const struct boot_info *boot, uint32_t vcpu)
{
    (void)boot;
    (void)vcpu;
    for (;;) {
        platform_wait(WAIT_WAKE);
    }
}

/* The host is trusted; these checks find a program and a VMM of different versions. */
static void boot_check(const struct boot_info *boot)
{
    if (boot->magic != BOOT_INFO_MAGIC || boot->version != BOOT_INFO_VERSION) {
        panic("boot information of another version: magic 0x%llx, version %u", (unsigned long long)boot->magic,
              boot->version);
    }
    if (boot->vcpu_count == 0 || boot->vcpu_count > LAYOUT_VCPU_MAX || boot->device_count > LAYOUT_DEVICE_MAX) {
        panic("boot information with %u vCPUs, %u devices", boot->vcpu_count, boot->device_count);
    }
    if (boot->arena_gpa % LAYOUT_HUGE_PAGE_LEN != 0 || boot->arena_len > LAYOUT_ARENA_LEN_MAX) {
        panic("boot information with an arena at 0x%llx, 0x%llx bytes", (unsigned long long)boot->arena_gpa,
              (unsigned long long)boot->arena_len);
    }
}

NO_RETURN void runtime_start(const struct boot_info *boot, uint32_t vcpu)
{
    static struct runtime runtime;
    boot_check(boot);
    if (vcpu != 0) {
        program_worker(boot, vcpu);
        panic("the worker on vCPU %u returned", vcpu);
    }
    runtime.boot = boot;
    arena_init(&runtime.arena, boot->arena_gpa, boot->arena_len);
    arena_init(&runtime.queues, LAYOUT_QUEUES_GPA, LAYOUT_QUEUES_LEN);
    platform_exit(program_main(&runtime));
}
