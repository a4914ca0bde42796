/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transports that instar knows by name and does not have: those that need something of the host which is rarely there
 * (docs/vfio.md). Asking for one tells what is missing.
 */
#ifndef INSTAR_HOST_JOB_ABSENT_TRANSPORTS_H
#define INSTAR_HOST_JOB_ABSENT_TRANSPORTS_H

#include <stddef.h>

#include "base/error.h"

struct absent_transport {
    const char *name;
    const char *help;        /* a line */
    const char *device_path; /* of the kernel's part, below the root; NULL: several things are needed */
    const char *module;      /* the kernel's, which makes it */
};

extern const struct absent_transport absent_transports[];
extern const size_t absent_transport_count;

/* NULL when there is none of that name. */
const struct absent_transport *absent_transport_find(const char *name);

/*
 * Says why the transport cannot be had on the host whose files are below `root` ("" for this one): what the host lacks,
 * or that only instar's part is missing. Always false.
 */
bool absent_transport_explain(const struct absent_transport *transport, const char *root, struct error *error);

#endif
