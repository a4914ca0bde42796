/* SPDX-License-Identifier: Apache-2.0 */
/* Data after the last. */
#include "tests/hostile/streams.h"

void attack_run(struct runtime *runtime)
{
    streams_open(runtime);
    streams_request(runtime, STREAM_FINISH, 0, 0);
    streams_reply(runtime);
    streams_request(runtime, STREAM_DATA, 1, 1);
    streams_reply(runtime);
}
