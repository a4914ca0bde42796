/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the native runtime have to do with each other. */
#ifndef INSTAR_TESTS_NATIVE_NATIVE_PRIVATE_H
#define INSTAR_TESTS_NATIVE_NATIVE_PRIVATE_H

#include "native.h"

/* native_file.c */
void native_files_close(void);
bool native_open_late(struct image_environment *environment, struct span name, const struct file *referrer,
                      enum image_file_use use, struct file **ret_file, struct error *error);

/* native.c */
bool native_refuses_late_files(void);
void native_message_bytes(const uint8_t *data, uint64_t len);

/* Exit code after NATIVE_STOP_BEFORE_WRITE. */
#define NATIVE_STOPPED 9

/* native_io.c: io's own memory is not of the arena. */
void native_io_release(void);

#endif
