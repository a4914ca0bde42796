/* SPDX-License-Identifier: Apache-2.0 */
/* Legal: a hundred thousand times, up and down; the user sees each percentage once. */
#include "tests/hostile/attack.h"

#include "abi/transports/direct.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    for (uint32_t i = 0; i < 100000; i++) {
        platform_port_write8(PORT_PROGRESS, (uint8_t)(i % 101));
    }
}
