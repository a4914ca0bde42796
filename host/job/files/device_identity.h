/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By what a block device is known: where the system tells a lasting name of it (a WWID, a UUID, a serial number), by
 * that, on whatever host it is looked at. Otherwise by its number, on one host until that is started anew.
 */
#ifndef INSTAR_HOST_JOB_FILES_DEVICE_IDENTITY_H
#define INSTAR_HOST_JOB_FILES_DEVICE_IDENTITY_H

#include <sys/types.h>

#define DEVICE_IDENTITY_LEN 512u

/* A text with its end, cut when it is longer; one for each partition. Looks at /sys, and at no device. */
void device_identity_find(dev_t device, char ret_identity[DEVICE_IDENTITY_LEN]);

#endif
