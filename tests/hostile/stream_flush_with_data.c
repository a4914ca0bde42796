/* SPDX-License-Identifier: Apache-2.0 */
/* A flush that says it has data. */
#include "tests/hostile/streams.h"

void attack_run(struct runtime *runtime)
{
    streams_open(runtime);
    streams_request(runtime, STREAM_FLUSH, 16, 16);
    streams_reply(runtime);
}
