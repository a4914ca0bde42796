/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that a VMDK may consist of, where it is changed in place: by their names beside it, as VMware and qemu-img
 * give them. Nothing of the image is looked at: which of them are its own, its descriptor says to the guest.
 */
#ifndef INSTAR_HOST_CLI_IMAGE_NAMES_IMAGE_EXTENTS_H
#define INSTAR_HOST_CLI_IMAGE_NAMES_IMAGE_EXTENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "host/job/job.h"

/* What a descriptor that is a file of its own may have, bytes: 2,048 lines of a name and two numbers. */
#define IMAGE_DESCRIPTOR_LEN_MAX (128 << 10)

/* Of an image in files of 2 GiB, as the guest divides a disk (vmdk_writer.h): bytes of it in each, and how many. */
#define IMAGE_EXTENT_LEN (2ull << 30)
#define IMAGE_EXTENT_COUNT_MAX 2048u
_Static_assert(IMAGE_EXTENT_COUNT_MAX <= JOB_FURTHER_OUTPUT_MAX, "a job can have them");

/* NAME-MARK.END of the image at `path`, NAME.END, as QEMU has it; an image may have no END. */
bool image_extent_path(const char *path, const char *mark, char *ret_path, size_t room, struct error *error);

/*
 * Adds outputs of the role JOB_OUTPUT_EXTENT for the image at `path`, output number `owner` of the job: NAME-flat.vmdk,
 * NAME-s001.vmdk and so on, NAME-f001.vmdk and so on, of NAME.vmdk; as long as there are such files, which are regular,
 * have no other name and are the image's owner's. With is_vmdk, which is the user's word, likewise of NAME.END, and of
 * NAME, which has no end. None where the image is called otherwise, or is longer than a descriptor.
 */
bool image_extents_take(struct job *job, const char *path, unsigned int owner, bool is_vmdk, struct error *error);

/* Files that such an image gets: NAME-s003.vmdk is `first` 3. */
struct image_new_extents {
    unsigned int count; /* 0: none */
    unsigned int first;
    char letter; /* 's' or 'f' */
};

/* Adds them behind the others, as outputs of the role JOB_OUTPUT_NEW_EXTENT. */
bool image_extents_add(struct job *job, const char *path, const struct image_new_extents *extents, struct error *error);

/*
 * How many files there are of the series of this letter, without a gap: *ret_count. One that nobody finished may have
 * left files that are no part of the image. With is_vmdk likewise.
 */
bool image_extents_count(const char *path, bool is_vmdk, char letter, unsigned int *ret_count, struct error *error);

#endif
