/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the backends do with ranges of an open file: whole transfers, zeros, holes.
 *
 * The functions block until all is done and return 0 or an errno value. Interrupted calls are repeated,
 * short transfers completed. The file is a regular file or a block device.
 */
#ifndef INSTAR_HOST_BACKENDS_FILE_RANGES_H
#define INSTAR_HOST_BACKENDS_FILE_RANGES_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "host/backends/backend.h"

/* The modes of fallocate behind discard and write_zeroes. */
#define FILE_MODE_PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define FILE_MODE_ZERO FALLOC_FL_ZERO_RANGE

/* Fills the vectors from `off`. The file ending before they are full is EIO. */
int file_read(int fd, const struct iovec *iov, unsigned int iov_count, uint64_t off);

/* Writes the vectors at `off`. */
int file_write(int fd, const struct iovec *iov, unsigned int iov_count, uint64_t off);

/*
 * The same to the page cache, in steps. Longer ones make the kernel look for larger stretches of free memory, which in
 * a virtual machine that returns its free memory to the host are not there: a copy then took up to seven times as long.
 * Elsewhere they gain nothing that could be measured.
 */
#define FILE_CACHED_WRITE_LEN 65536u
int file_write_cached(int fd, const struct iovec *iov, unsigned int iov_count, uint64_t off);

/* Puts finished writes on stable storage, those through a shared mapping included. */
int file_flush(int fd);

/* Gives up the storage of a range where the file can do that, and succeeds where it cannot. */
int file_discard(int fd, uint64_t off, uint64_t len);

/* Makes a range read as zero: as a hole when `may_unmap` and the file can, otherwise with its storage kept. */
int file_write_zeroes(int fd, uint64_t off, uint64_t len, bool may_unmap);

/* Whether fallocate's errno says that this file or this range cannot be done this way, not that it failed. */
bool file_mode_is_unsupported(int error_number);

/* Gives the file another length: what is cut off is gone, what is added reads as zeros. */
int file_set_len(int fd, uint64_t len);

/* Sets *ret_end to the length that the file has now. */
int file_end(int fd, uint64_t *ret_end);

/*
 * Whether the file system of a regular file of `len` bytes gives no storage back; asked behind the file's end, where
 * nothing changes but the time of the last change.
 */
bool file_has_no_holes(int fd, uint64_t len);

/*
 * Sets *ret_extent to the extent at `off` (< len), cut at `len` and never empty. What lies past the end of a
 * file that shrank is data, so that whoever reads it learns of the error.
 */
int file_extent(int fd, uint64_t len, uint64_t off, struct backend_extent *ret_extent);

/* Does any operation by the functions above. */
int file_run(int fd, const struct backend_operation *operation);

#endif
