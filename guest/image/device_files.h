/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of the machine's devices: brings devices up, and implements file.h and io.h on them. Only programs know of
 * this; what is above files sees files.
 */
#ifndef INSTAR_GUEST_IMAGE_DEVICE_FILES_H
#define INSTAR_GUEST_IMAGE_DEVICE_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/boot_info.h"
#include "base/attributes.h"
#include "base/error.h"
#include "guest/drivers/virtio_blk_driver.h"
#include "guest/image/file.h"
#include "guest/image/image.h"
#include "guest/runtime/arena.h"

/* All requests of an image job go through this queue of their device. */
#define DEVICE_FILE_QUEUE 0u

/*
 * As every device of a long chain has a queue, queues are small. One of a queue's places is left to requests that
 * somebody waits for (file.h), the others are io.h's.
 */
#define DEVICE_FILE_QUEUE_SIZE 64u
/* An image may consist of 2,048 files: what comes behind the first devices has a smaller queue, and takes 3 KiB. */
#define DEVICE_FILE_LARGE_QUEUES_MAX 64u
#define DEVICE_FILE_SMALL_QUEUE_SIZE 8u
/* Lists of data and holes that are kept, of the files that were asked about last. */
#define DEVICE_FILE_BATCHES_MAX 16u
/* Segments of a request: those of the data, and at both ends of a read what belongs to whole sectors. */
#define DEVICE_FILE_SEGMENTS 6u

struct device_files;
struct extent_batch;

/* A request in such a queue. Whoever takes one off the queue that is another's adds it to the strays. */
struct device_request {
    struct virtio_blk_request blk; /* its owner is the struct device_request */
    struct device_request *next;
};

/* One device and its file. */
struct device_file {
    struct file file;
    struct virtio_blk blk;
    char name[20];
    struct device_files *owner;
    struct device_request *own;    /* for what somebody waits for */
    struct device_request *strays; /* io's, finished while somebody waited */
    struct extent_batch *extents;  /* NULL: nobody has asked lately */
    uint32_t io_count;             /* requests of io that are under way */
    bool io_is_active;             /* io looks after the queue */
};

#define DEVICE_FILE_BOUNCE_LEN 65536u

struct device_files {
    const struct boot_info *boot;
    struct arena *rings;
    struct arena *arena;
    uint8_t *bounce;                              /* DEVICE_FILE_BOUNCE_LEN bytes that devices reach */
    struct device_file *files[LAYOUT_DEVICE_MAX]; /* NULL: not up */
    uint32_t open_count;
    struct device_file *with_extents[DEVICE_FILE_BATCHES_MAX]; /* a ring: the next one to be replaced is the oldest */
    uint32_t next_with_extents;
};

/* NULL when the arena is too small. */
MUST_CHECK struct device_files *device_files_make(const struct boot_info *boot, struct arena *rings,
                                                  struct arena *arena);

/* The file of a device, which is brought up when it is asked for first. */
MUST_CHECK bool device_files_open(struct device_files *files, uint32_t device, struct file **ret_file,
                                  struct error *error);

/* For image_environment: asks the host, `context` is the struct device_files. */
MUST_CHECK bool device_files_open_late(struct image_environment *environment, struct span name,
                                       const struct file *referrer, enum image_file_use use, struct file **ret_file,
                                       struct error *error);

/*
 * Kicks, waits for the file's own request and checks it. Others may be under way in the queue: those that are finished
 * meanwhile become strays.
 */
MUST_CHECK bool device_file_execute(struct device_file *device_file, struct error *error);

static inline struct device_file *device_file_of(const struct file *file)
{
    return file->state;
}

#endif
