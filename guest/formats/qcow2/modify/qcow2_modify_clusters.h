/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters of an image that changes: free ones that are taken, and those that become free. */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_MODIFY_CLUSTERS_H
#define INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_MODIFY_CLUSTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"

struct qcow2_modify;
struct qcow2_releases;

/* Up to `count` clusters in one piece, one at least. */
MUST_CHECK bool qcow2_modify_take(struct qcow2_modify *modify, uint64_t count, uint64_t *ret_off, uint64_t *ret_count,
                                  struct error *error);
/* Exactly `count` in one piece: free ones within the image, if there are such neighbours, or behind all others. */
MUST_CHECK bool qcow2_modify_take_run(struct qcow2_modify *modify, uint64_t count, uint64_t *ret_off,
                                      struct error *error);
/*
 * Exactly `count` in one piece, for what nothing in the file leads to until it is complete. A change that fails until
 * then (qcow2_modify_abandon) gives them back, as far as there was room to keep them in mind.
 */
MUST_CHECK bool qcow2_modify_take_loose(struct qcow2_modify *modify, uint64_t count, uint64_t *ret_off,
                                        struct error *error);
/* Makes clusters such that were taken otherwise, all of them by one call. */
void qcow2_modify_loosen(struct qcow2_modify *modify, uint64_t off, uint64_t count);
/* Something is about to lead to those of one call: from now on they stay. */
void qcow2_modify_tie(struct qcow2_modify *modify, uint64_t off, uint64_t count);
void qcow2_modify_tie_all(struct qcow2_modify *modify);
/*
 * From here on nothing within the image is given out by qcow2_modify_take, only what is behind its end: where counts
 * are too low, what seems free is somebody's data.
 */
void qcow2_modify_take_behind(struct qcow2_modify *modify);

/* Exactly `count`, behind all others: what nobody writes there reads as zeros, if the image is in a file. */
MUST_CHECK bool qcow2_modify_append(struct qcow2_modify *modify, uint64_t count, uint64_t *ret_off,
                                    struct error *error);
/*
 * A reference less to each of these clusters, from the next checkpoint on. There is room for QCOW2_RELEASE_MAX runs of
 * them between two checkpoints: an error when there is none left.
 */
MUST_CHECK bool qcow2_modify_release(struct qcow2_modify *modify, uint64_t off, uint64_t len, uint32_t own,
                                     struct error *error);
/* Takes the references to those of a list back now; it is empty then. */
MUST_CHECK bool qcow2_modify_release_list(struct qcow2_modify *modify, struct qcow2_releases *releases,
                                          struct error *error);
/* The same of all that are to be released. */
MUST_CHECK bool qcow2_modify_release_all(struct qcow2_modify *modify, struct error *error);
/* The reserve is not used any more. */
MUST_CHECK bool qcow2_modify_give_back(struct qcow2_modify *modify, struct error *error);
/* What the file's length could be: behind the last cluster that is used. Looks from the file's end. */
MUST_CHECK bool qcow2_modify_used_end(struct qcow2_modify *modify, uint64_t *ret_off, struct error *error);

/*
 * Whether these clusters are nobody else's, by their counts and by what is known of metadata, so that they can be
 * written to. They are in the file, at least in part.
 */
MUST_CHECK bool qcow2_modify_is_own(struct qcow2_modify *modify, uint64_t off, uint64_t len, uint32_t own,
                                    bool *ret_is_own, struct error *error);

#endif
