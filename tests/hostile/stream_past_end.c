/* SPDX-License-Identifier: Apache-2.0 */
/* More data than the output is long. */
#include "tests/hostile/streams.h"

void attack_run(struct runtime *runtime)
{
    streams_open(runtime);
    streams_request(runtime, STREAM_DATA, UINT64_MAX, 0);
    for (;;) { /* ends behind the output's last byte */
        streams_request(runtime, STREAM_DATA, UINT64_MAX, 65536);
    }
}
