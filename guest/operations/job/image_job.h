/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job of the image program, as its operation sees it: what the message asks for, the files that the user named, and
 * what everything shares. An operation is a file of its own and a line in operations.c.
 */
#ifndef INSTAR_GUEST_OPERATIONS_JOB_IMAGE_JOB_H
#define INSTAR_GUEST_OPERATIONS_JOB_IMAGE_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/image.h"
#include "guest/image/io.h"
#include "messages.pb.h"

/* As many as a machine has inputs. */
#define IMAGE_JOB_SOURCES_MAX 128u

struct image_job {
    const instar_ImageJob *message;
    struct image_environment *environment; /* arena, cache */
    struct io *io;
    struct file *sources[IMAGE_JOB_SOURCES_MAX]; /* in the order of message->sources: all of them, and those alike */
    uint32_t source_count;                       /* of those that the user named by themselves, which come first */
    struct file *target;                         /* NULL: there is none */
    /* Further files that are written, in the order of devices: of a new image its parts, or its external data file. */
    struct file **further_targets;
    uint32_t further_target_count;
    uint32_t vcpu_count;
    uint32_t ticks_khz; /* of platform_ticks; 0: unknown */
    bool is_opening;    /* what has failed is the opening of an image */
    bool opens_shards;  /* images may be parts of one (guest/image/shard.h) */

    /* What the operation fills in: bytes_read, bytes_written and bytes_zero of the CompleteMessage. */
    instar_CompleteMessage result;
};

/* What opens an image: secret `number` - 1 of the message, 0: none; `format` as in struct image_key. */
struct image_key image_job_key(const struct image_job *job, uint32_t number, const char *format);

/* What source_count is. */
uint32_t image_job_named_count(const instar_ImageJob *message);

/* All sources of the job: the named ones, and what is behind them. */
uint32_t image_job_source_count(const instar_ImageJob *message);

/* The device of one of them. */
uint32_t image_job_source_device(const instar_ImageJob *message, uint32_t source);

/*
 * Opens a source with the format that the message says, or probes; nothing of what is behind it, which is for those who
 * need data.
 */
MUST_CHECK bool image_job_open_alone(struct image_job *job, uint32_t source, enum image_purpose purpose,
                                     struct image **ret_image, struct error *error);

/* The same with what is behind it, as the user or the image says; and if the message chooses a snapshot, the image
 * shows that. */
MUST_CHECK bool image_job_open(struct image_job *job, uint32_t source, enum image_purpose purpose,
                               struct image **ret_image, struct error *error);

/*
 * The first source, to be changed: alone, as what is behind it is mostly not needed; but with that where the user names
 * it, as nobody else knows what it is.
 */
MUST_CHECK bool image_job_open_change(struct image_job *job, struct image **ret_image, struct error *error);

/*
 * Before the disk of an image that was opened alone gets another length: what is behind it is looked at, as far as that
 * is needed (resize.c).
 */
MUST_CHECK bool image_job_look_behind(struct image_job *job, struct image *image, uint64_t new_len,
                                      struct error *error);

struct operation {
    const char *name;
    pb_size_t tag; /* instar_ImageJob_*_tag: the member of the message's oneof */
    bool (*run)(struct image_job *job, struct error *error);
};

/* All operations; ends with one without a name (operations.c). */
extern const struct operation operations[];

/* Runs the operation that the message names. */
MUST_CHECK bool image_job_run(struct image_job *job, struct error *error);

bool operation_bench(struct image_job *job, struct error *error);
bool operation_amend(struct image_job *job, struct error *error);
bool operation_bitmap(struct image_job *job, struct error *error);
bool operation_check(struct image_job *job, struct error *error);
bool operation_create(struct image_job *job, struct error *error);
bool operation_info(struct image_job *job, struct error *error);
bool operation_commit(struct image_job *job, struct error *error);
bool operation_compare(struct image_job *job, struct error *error);
bool operation_convert(struct image_job *job, struct error *error);
bool operation_map(struct image_job *job, struct error *error);
bool operation_measure(struct image_job *job, struct error *error);
bool operation_rebase(struct image_job *job, struct error *error);
bool operation_resize(struct image_job *job, struct error *error);
bool operation_snapshot(struct image_job *job, struct error *error);

#endif
