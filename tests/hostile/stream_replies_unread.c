/* SPDX-License-Identifier: Apache-2.0 */
/* More replies than anybody reads: the host takes no requests meanwhile, and no memory. */
#include "tests/hostile/streams.h"

void attack_run(struct runtime *runtime)
{
    streams_open(runtime);
    for (unsigned int i = 0; i < 1000; i++) {
        streams_request(runtime, STREAM_FLUSH, 0, 0);
    }
    for (unsigned int i = 0; i < 1000; i++) {
        if (streams_reply(runtime).status != STREAM_OK) {
            attack_fail("a flush has failed");
        }
    }
}
