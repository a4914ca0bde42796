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

/* native_io.c: io's own memory is not of the arena. */
void native_io_release(void);

/*
 * native_record.c: requests of io.h that have been carried out on named files are recorded in the file that
 * NATIVE_RECORD in the environment names, and then that the guest was told of it. Of a write, what is in the file now.
 */
void native_record_write(uint64_t id, struct file *file, uint64_t off, uint64_t len);
void native_record_zero(uint64_t id, struct file *file, uint64_t off, uint64_t len);
void native_record_length(uint64_t id, const struct file *file);
void native_record_flush(uint64_t id, const struct file *file);
void native_record_done(uint64_t id);

#endif
