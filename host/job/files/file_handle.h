/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles on files (O_PATH): they open nothing, so a FIFO does not block and a device is not disturbed. What was looked
 * at through a handle is opened through it, and is the very file, whatever its name means by then.
 */
#ifndef INSTAR_HOST_JOB_FILES_FILE_HANDLE_H
#define INSTAR_HOST_JOB_FILES_FILE_HANDLE_H

#include <limits.h>
#include <stdbool.h>

/*
 * Opens the file of a handle, close-on-exec, by `flags` (O_RDONLY, O_RDWR | O_EXCL and so on). It never waits, neither
 * for somebody who holds a lease nor for the other end of a FIFO, and makes no terminal ours. -1 with errno; ENOENT
 * also where /proc is not there.
 */
int file_handle_open(int handle, int flags);

/* The same for a FIFO whose other end may be waited for. */
int file_handle_open_waiting(int handle, int flags);

/* The canonical path of what a handle is on. False with errno. */
bool file_handle_path(int handle, char path[PATH_MAX]);

/* Whether it is on a file system of the kernel's own (procfs, sysfs and the like): files there are no storage. */
bool file_handle_is_kernels(int handle);

#endif
