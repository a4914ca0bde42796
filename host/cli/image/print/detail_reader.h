/* SPDX-License-Identifier: Apache-2.0 */
/* What an image says about itself, from DetailMessages into a tree of values. The messages are a guest's. */
#ifndef INSTAR_HOST_CLI_IMAGE_PRINT_DETAIL_READER_H
#define INSTAR_HOST_CLI_IMAGE_PRINT_DETAIL_READER_H

#include "base/error.h"
#include "host/cli/image/values/value_tree.h"
#include "host/job/job.h"
#include "messages.pb.h"

/* Objects and lists in each other. qemu-img's have 5. */
#define DETAIL_DEPTH_MAX 8u

struct detail_reader {
    struct value_tree *tree;
    const struct job_result *files;            /* has the devices that may be named */
    const char *first_name;                    /* what the first of them is called; NULL: by its path */
    unsigned int depth;                        /* of what is open */
    struct value *open[DETAIL_DEPTH_MAX + 1u]; /* [0] is where everything goes */
};

/* `object` takes the members at the top; the tree and the list of devices are the caller's. */
void detail_reader_init(struct detail_reader *reader, struct value_tree *tree, struct value *object,
                        const struct job_result *files);
bool detail_reader_take(struct detail_reader *reader, const instar_DetailMessage *message, struct error *error);
/* After the last one: whether all that was opened has been closed. */
bool detail_reader_check(const struct detail_reader *reader, struct error *error);

#endif
