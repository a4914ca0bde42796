/* SPDX-License-Identifier: Apache-2.0 */
/* How much storage a regular file has, and would need for more. */
#ifndef INSTAR_HOST_BACKENDS_FILE_STORAGE_H
#define INSTAR_HOST_BACKENDS_FILE_STORAGE_H

#include <stdint.h>

/* Bytes of storage that the file has, what is only reserved for it included; 0 when that is not known. */
uint64_t file_stored_len(int fd);

/*
 * Bytes of [off, off + len) that the file system would have to find storage for if they were written now. Those that
 * have storage of the file's alone need none, nor do those for which it is reserved. At most `len`; where the file
 * system does not tell, that.
 */
uint64_t file_unstored_len(int fd, uint64_t off, uint64_t len);

#endif
