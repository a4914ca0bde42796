/* SPDX-License-Identifier: Apache-2.0 */
/* Data of no length. */
#include "tests/hostile/streams.h"

void attack_run(struct runtime *runtime)
{
    streams_open(runtime);
    streams_request(runtime, STREAM_DATA, 0, 0);
    streams_reply(runtime);
}
