/* SPDX-License-Identifier: Apache-2.0 */
/* platform.h and workers.h where there is no machine: messages go to native.c, tasks run at once. */
#include "guest/runtime/platform.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "abi/ports.h"
#include "guest/runtime/runtime.h"
#include "guest/runtime/workers.h"
#include "native_private.h"

void platform_port_write(uint16_t port, const void *data, size_t len)
{
    if (port == PORT_MESSAGE_DATA) {
        native_message_bytes(data, len);
    } else {
        fwrite(data, 1, len, stderr);
    }
}

void platform_port_read(uint16_t port, void *target, size_t len)
{
    (void)target;
    panic("native: a read of %zu bytes from port 0x%x", len, port);
}

struct span platform_first_message(void)
{
    panic("native: the job is a function's argument");
}

uint64_t platform_ticks(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void platform_wait(uint32_t mask)
{
    if ((mask & WAIT_TICK) == 0) {
        panic("native: a wait for event 0x%x", mask);
    }
    const struct timespec tick = {.tv_nsec = (long)WAIT_TICK_MS * 1000000};
    nanosleep(&tick, NULL);
}

void platform_relax(void)
{
}

uint32_t platform_vcpu(void)
{
    return 0;
}

NO_RETURN void panic(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("panic: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

void workers_submit(struct worker_task *task)
{
    task->run(task, 0);
    task->is_done = 1;
}

bool worker_task_is_done(const struct worker_task *task)
{
    return task->is_done != 0;
}

bool workers_help(void)
{
    return false;
}
