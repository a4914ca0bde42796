/* SPDX-License-Identifier: Apache-2.0 */
/* A request that there is not. */
#include "tests/hostile/streams.h"

void attack_run(struct runtime *runtime)
{
    streams_open(runtime);
    streams_request(runtime, 4, 0, 0);
    streams_reply(runtime);
}
