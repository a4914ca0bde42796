/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that an image names: backing files, data files. The program can only ask; the host's policy answers with a
 * device, or with a refusal.
 */
#ifndef INSTAR_GUEST_RUNTIME_LATE_FILE_H
#define INSTAR_GUEST_RUNTIME_LATE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/span.h"
#include "messages.pb.h"

/* A longer name is refused here already: no host has such files. */
#define LATE_FILE_NAME_MAX 4096u

/*
 * Asks for the file that the image on device `referrer` calls `name`. Sets *ret_device to the device that has it: a new
 * one, to read, or that of the data file which the user named for an image that is changed. On refusal *error has the
 * host's kind; the host keeps the reason, and tells it to the user when the job fails with that kind. One call at a
 * time.
 */
bool late_file_request(struct span name, uint32_t referrer, instar_OpenUse use, uint32_t *ret_device,
                       struct error *error);

#endif
