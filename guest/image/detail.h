/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a format says of its images (format.describe): a tree of DetailMessages in the shape of qemu-img's JSON. Members
 * are in the order in which qemu-img prints them.
 */
#ifndef INSTAR_GUEST_IMAGE_DETAIL_H
#define INSTAR_GUEST_IMAGE_DETAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "guest/image/file.h"

/* Keys have less than 64 bytes; NULL: a member of a list. What is opened is closed by detail_end. */
void detail_object(const char *key);
void detail_list(const char *key);
void detail_end(void);

void detail_bool(const char *key, bool value);
void detail_number(const char *key, int64_t value);
/* From an image: any bytes. Cut behind 1024 of them. */
void detail_text(const char *key, struct span text);
/* The name of a file, as the user would write it: the host knows it. */
void detail_file(const char *key, const struct file *file);
/* Our own words. */
void detail_word(const char *key, const char *word);

#endif
