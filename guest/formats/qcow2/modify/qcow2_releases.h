/* SPDX-License-Identifier: Apache-2.0 */
/*
 * References to clusters that are to be taken back at the next checkpoint: not before, as until then what is in the
 * file still leads there. No I/O.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_RELEASES_H
#define INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_RELEASES_H

#include <stdbool.h>
#include <stdint.h>

/* Runs of clusters between two checkpoints. */
#define QCOW2_RELEASE_MAX 512u

struct qcow2_release {
    uint64_t cluster;
    uint64_t count;
};

/* All zero: none. */
struct qcow2_releases {
    struct qcow2_release runs[QCOW2_RELEASE_MAX];
    uint32_t count; /* of runs */
};

/* Whether so many runs more have room. */
static inline bool qcow2_releases_have_room(const struct qcow2_releases *releases, uint32_t count)
{
    return count <= QCOW2_RELEASE_MAX - releases->count;
}

/* How many references are to be taken back. */
static inline uint64_t qcow2_releases_total(const struct qcow2_releases *releases)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < releases->count; i++) {
        total += releases->runs[i].count;
    }
    return total;
}

/* One reference less to each of the clusters; those behind the last run belong to it. False: there is no room. */
bool qcow2_releases_add(struct qcow2_releases *releases, uint64_t cluster, uint64_t count);

/*
 * Takes clusters out again that were added by one call, if they are there. Of a run that is cut in two, the part behind
 * them goes with them where there is no room for another run.
 */
void qcow2_releases_remove(struct qcow2_releases *releases, uint64_t cluster, uint64_t count);

#endif
