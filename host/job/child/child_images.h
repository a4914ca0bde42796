/* SPDX-License-Identifier: Apache-2.0 */
/* The images of a machine: each gets a backend, and a device that the guest sees. */
#ifndef INSTAR_HOST_JOB_CHILD_CHILD_IMAGES_H
#define INSTAR_HOST_JOB_CHILD_CHILD_IMAGES_H

#include "host/job/child/child_machine.h"

/*
 * Makes the next device: opens a backend on its image, taking the descriptor over, and attaches it. What was made
 * belongs to the machine, also on failure.
 */
bool child_image_attach(struct child_machine *child, const struct backend_config *config,
                        const struct virtio_blk_medium *medium, struct error *error);

/* Those that are there from the start. Takes the descriptors over, also when it fails. */
bool child_images_attach(struct child_machine *child, const struct child_ties *ties, struct error *error);

/* For who does not come to attach them. */
void child_images_close(const struct child_ties *ties);

#endif
