/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/transports.h"

#include <string.h>

#include "base/attributes.h"

/* The first one is the default. */
const struct transport transports[] = {
    {"virtio-blk", "a virtio-blk disk each for input and output (default)", TRANSPORT_VIRTIO_BLK, 0, true, 0, NULL},
};

const size_t transport_count = ARRAY_COUNT(transports);

const struct transport *transport_find(const char *name)
{
    for (size_t i = 0; i < transport_count; i++) {
        if (strcmp(transports[i].name, name) == 0) {
            return &transports[i];
        }
    }
    return NULL;
}

const struct transport *transport_of(const struct job *job)
{
    return job->transport != NULL ? job->transport : &transports[0];
}
