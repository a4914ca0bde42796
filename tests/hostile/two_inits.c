/* SPDX-License-Identifier: Apache-2.0 */
/* A second introduction. */
#include "guest/runtime/messages.h"
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    messages_post_init("attack", 1, 2);
    messages_flush();
}
