/* SPDX-License-Identifier: Apache-2.0 */
/* qcow2 images in memory, which our own writer has made, and that are changed; for test_qcow2_modify*.c. */
#ifndef INSTAR_TESTS_UNIT_TEST_QCOW2_MODIFY_SUPPORT_H
#define INSTAR_TESTS_UNIT_TEST_QCOW2_MODIFY_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/formats/qcow2/modify/qcow2_modify.h"
#include "guest/formats/qcow2/open/qcow2_refcounts.h"
#include "native.h"

#define KIB 1024u
#define ROOM_LEN (8u << 20)
#define CLUSTER_LEN 512u
#define CLUSTER_BITS 9u

/* What the last call that failed has said. */
extern struct error error;
/* The text of the last warning; "" when there was none. */
extern char warning[256];

void images_start(void);
void images_stop(void);
int images_setup(void **state);
int images_teardown(void **state);

#define TEST_OF_IMAGE(name) cmocka_unit_test_setup_teardown(name, images_setup, images_teardown)

/* A new image with clusters of 512 bytes, which may get as long as the room: ROOM_LEN at most. There is one at a time.
 */
struct file *image_make(const char *refcount_bits, uint64_t disk_len, uint64_t room_len);
/* The bytes of its file. */
uint8_t *image_bytes(void);
/* The same in other memory, as a second image. */
struct file *other_image_make(uint64_t disk_len);
struct image *image_of(struct file *file, enum image_purpose purpose);
struct qcow2_modify *modify_of(struct file *file);
struct qcow2_modify *modify_make(uint64_t disk_len);

uint64_t references(struct qcow2_modify *modify, uint64_t off);
void expect_clean(struct file *file);
/* Writes to the disk, and waits. */
bool disk_write(struct qcow2_modify *modify, uint64_t voff, const void *data, uint64_t len);

/* Entry 0 of the active L1 table, and of the L2 table of the disk's first cluster, as the file has them. */
uint64_t stored_table(struct qcow2_modify *modify);
uint64_t stored_entry(struct qcow2_modify *modify);
/* A new cluster for the disk's first one, as the disk's writer does it. */
uint64_t entry_set(struct qcow2_modify *modify);

/* The disk as it is now, as a snapshot; its tables are shared from then on. */
void snapshot_add(struct file *file);
/* The image gets a bitmap with bits for 512 bytes each, which tracks changes or not. */
void bitmap_add(struct file *file, const char *name, bool is_enabled);
/* What an image says of its bitmap of this number; the first bits of it, 64 at most. */
struct image_bitmap bitmap_at(struct file *file, uint32_t number, uint64_t *ret_bits);

#endif
