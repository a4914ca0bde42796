/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of an image that exists, with its extensions and the name of its backing file, written anew: one write.
 * Whoever changes more than a field that stays in its place comes here.
 *
 * The order of calls: begin; changes to `header`, `backing_name` and by qcow2_header_change_extension, in any order;
 * write. What nobody has changed stays as it stands in the file: extensions that are not known, also parts of the
 * header itself that are not known.
 *
 * New tables that the header is to lead to are complete in the file before, and what it led to so far is released
 * after it.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_HEADER_CHANGE_H
#define INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_HEADER_CHANGE_H

#include "guest/formats/qcow2/modify/qcow2_modify.h"

/* Of the header with extensions and name: what QEMU writes has some hundred. Clusters may be 2 MiB. */
#define QCOW2_HEADER_CHANGE_LEN_MAX 65536u

struct qcow2_header_change {
    struct qcow2_modify *modify;
    /*
     * What it shall say: also of another version, with other tables or features. header_len, backing_name_off and
     * backing_name_len follow from the rest. The cluster's length stays.
     */
    struct qcow2_header header;
    struct file_name backing_name; /* not set: there is none */

    uint8_t *bytes;      /* room_len of them, as they stand in the file, then as they will */
    uint32_t room_len;   /* bytes that the header may take with all that belongs to it */
    uint8_t *extensions; /* one after the other, each padded to 8 bytes; without that of the end */
    uint32_t extensions_len;
    uint32_t old_end; /* bytes that the old header takes with its extensions and the name, as far as in `bytes` */
};

/* Takes memory of the arena: twice QCOW2_HEADER_CHANGE_LEN_MAX, or what clusters have. */
MUST_CHECK bool qcow2_header_change_begin(struct qcow2_modify *modify, struct qcow2_header_change *ret_change,
                                          struct error *error);

/*
 * There is one extension of this type, and it has these bytes; NULL: there is none. ERROR_NO_SPACE, without a place,
 * when the cluster has no room for it.
 */
MUST_CHECK bool qcow2_header_change_extension(struct qcow2_header_change *change, uint32_t type, const void *data,
                                              uint32_t len, struct error *error);

/* Whether it fits the cluster, as it is to be now: the error that there would be when it is written. */
MUST_CHECK bool qcow2_header_change_check(struct qcow2_header_change *change, struct error *error);

/*
 * Writes it: what was written to the image before is on stable storage then, and so is the header afterwards. The open
 * image goes by it from now on, but for what is behind it (image->backing). ERROR_NO_SPACE, without a place, when it
 * does not fit a cluster; nothing was written then. The names of features are left out before it comes to that.
 */
MUST_CHECK bool qcow2_header_change_write(struct qcow2_header_change *change, struct error *error);

/*
 * The image names this backing file, of this format (an empty one: not told); a name that is not set: none. This is
 * target_operations.set_backing.
 */
bool qcow2_change_backing(struct target *target, const struct file_name *name, const char *format, struct error *error);

#endif
