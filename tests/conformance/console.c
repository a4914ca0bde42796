/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages by the console (abi/virtio_console.h), after those on COM1: in chains of any shape. The last one is the
 * result, without which the job fails.
 */
#include <string.h>

#include "abi/ports.h"
#include "tests/conformance/conformance.h"
#include "tests/hostile/raw_console.h"

/* A ProgressMessage: sector 1 of 2. */
static const uint8_t progress[] = {6, 0, 0, 0, 0x1a, 4, 8, 1, 16, 2};
/* A CompleteMessage: success. */
static const uint8_t complete[] = {4, 0, 0, 0, 0x22, 2, 8, 1};

void conformance_run(struct runtime *runtime)
{
    static struct raw_console console;
    static uint8_t many[200 * sizeof(progress)];
    raw_console_open(&console, runtime);
    CHECK(raw_load(console.ring.registers_gpa, VIRTIO_MMIO_DEVICE_ID) == VIRTIO_DEVICE_ID_CONSOLE);
    for (uint32_t part_len = 1; part_len <= sizeof(progress); part_len++) {
        raw_console_send(&console, progress, sizeof(progress), part_len);
    }
    for (uint32_t i = 0; i < 200; i++) {
        memcpy(many + i * sizeof(progress), progress, sizeof(progress));
    }
    raw_console_send(&console, many, sizeof(many), sizeof(many));
    raw_console_send(&console, many, sizeof(many), 333);
    /* A message may be spread over chains, and one chain may end two of them. */
    raw_console_send(&console, progress, 7, 7);
    memcpy(many, progress + 7, 3);
    memcpy(many + 3, complete, sizeof(complete));
    raw_console_send(&console, many, 3 + sizeof(complete), 2);
    platform_exit(EXIT_FINISHED);
}
