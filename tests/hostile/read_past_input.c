/* SPDX-License-Identifier: Apache-2.0 */
/* The program reads far more than the host sent. Legal: the line idles. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    static uint8_t bytes[64 * 1024];
    platform_port_read(PORT_MESSAGE_DATA, bytes, sizeof(bytes));
    for (unsigned int i = 0; i < sizeof(bytes); i++) {
        if (bytes[i] != 0xff) {
            attack_fail("the message port gave what nobody sent");
        }
    }
}
