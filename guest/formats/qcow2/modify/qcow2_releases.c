/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/modify/qcow2_releases.h"

#include <stddef.h>

bool qcow2_releases_add(struct qcow2_releases *releases, uint64_t cluster, uint64_t count)
{
    struct qcow2_release *last = releases->count > 0 ? &releases->runs[releases->count - 1] : NULL;
    if (last != NULL && last->cluster + last->count == cluster) {
        last->count += count;
        return true;
    }
    if (!qcow2_releases_have_room(releases, 1)) {
        return false;
    }
    releases->runs[releases->count++] = (struct qcow2_release){cluster, count};
    return true;
}
