/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks for a file as the data file of its image, which might be one to write to, and writes to it: what is granted can
 * be read, and no more.
 */
#include <string.h>

#include "guest/runtime/late_file.h"
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    static const char name[] = "in"; /* the input is its own neighbour */
    uint32_t device;
    struct error error = {0};
    struct raw_ring ring;
    if (!late_file_request((struct span){(const uint8_t *)name, strlen(name)}, RAW_INPUT, instar_OpenUse_OPEN_DATA,
                           &device, &error)) {
        attack_fail("no file was given");
    }
    raw_ring_open(&ring, runtime, (enum raw_device)device);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_OUT, 0);
    attack_judge(raw_request_run(&ring, request, raw_memory(runtime, LAYOUT_PAGE_LEN), 512, false));
}
