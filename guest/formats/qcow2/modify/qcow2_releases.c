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

void qcow2_releases_remove(struct qcow2_releases *releases, uint64_t cluster, uint64_t count)
{
    for (uint32_t i = releases->count; i > 0; i--) { /* what was added last is removed first, mostly */
        struct qcow2_release *run = &releases->runs[i - 1];
        if (cluster < run->cluster || cluster - run->cluster > run->count ||
            count > run->count - (cluster - run->cluster)) {
            continue;
        }
        uint64_t before = cluster - run->cluster;
        struct qcow2_release behind = {cluster + count, run->count - before - count};
        run->count = before;
        if (before == 0) {
            *run = behind.count > 0 ? behind : releases->runs[--releases->count];
        } else if (behind.count > 0 && qcow2_releases_have_room(releases, 1)) {
            releases->runs[releases->count++] = behind;
        }
        return;
    }
}
