/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk of an image as the file of another one: a format over a format, as QEMU's nodes may be. Formats, caches and
 * operations read it like any file. What of it is payload is looked for in the images below: where these have it as
 * it is, it goes from their file; the rest is read through them, piece by piece.
 */
#ifndef INSTAR_GUEST_IMAGE_IMAGE_FILE_H
#define INSTAR_GUEST_IMAGE_IMAGE_FILE_H

#include "guest/image/image.h"

/*
 * `within` is open to be read, with what is behind it. The file has the name and the device of its file, for errors and
 * for names that the image over it has for others. Such files are only read.
 */
MUST_CHECK bool image_file_make(struct image *within, struct file **ret_file, struct error *error);

/* The image whose disk the file is; NULL: it is none. */
struct image *image_file_image(const struct file *file);

/*
 * Images over others have a cache of their own, as filling it reads through those, which fill theirs. NULL: no memory
 * is left.
 */
MUST_CHECK struct image_environment *image_file_environment(const struct image *within);

/*
 * The extent has bytes of such a file: finds the image below that has them, and the extent becomes that one's as far as
 * it goes. What is compressed or encrypted stays the extent of the image over it, from another file if that has the
 * bytes as they are. Recursion: an image is over fewer than IMAGE_FILES_MAX others.
 */
MUST_CHECK bool image_file_look_below(struct chain_extent *chain, struct error *error);

/* Images that may be over each other: as many as the host lets a user name, and a bound for recursion. */
#define IMAGE_FILES_MAX 8u

#endif
