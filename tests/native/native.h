/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image program without a machine: the guest's formats, image layer and operations, compiled natively, on files of
 * this host. For tests and fuzzers, under sanitizers; never linked into anything that is shipped.
 *
 * What the guest says goes through the guest's own messages.c, so that a message that does not fit or cannot be
 * encoded is found here. A panic aborts. One job at a time; not for threads.
 */
#ifndef INSTAR_TESTS_NATIVE_NATIVE_H
#define INSTAR_TESTS_NATIVE_NATIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/image/image.h"
#include "guest/operations/job/image_job.h"
#include "guest/runtime/arena.h"
#include "messages.pb.h"

/* As large as the arena of the real program may be. */
#define NATIVE_ARENA_LEN (64ull << 20)
#define NATIVE_CACHE_BLOCKS 96u
#define NATIVE_IO_REQUESTS 64u

struct native_setup {
    /* Gets every message of the guest, decoded; NULL: nobody looks at them. */
    void (*on_message)(const instar_GuestMessage *message, void *context);
    void *context;
    uint64_t arena_len;      /* 0: NATIVE_ARENA_LEN */
    uint64_t arena_left;     /* what a job finds of it when it begins; 0: all */
    uint32_t cache_blocks;   /* 0: NATIVE_CACHE_BLOCKS */
    bool refuses_late_files; /* what an image names is never opened */
};

/*
 * Starts and stops what there is instead of the machine. Everything that comes from it (arena, files, images) is gone
 * after native_stop.
 */
void native_start(const struct native_setup *setup);
void native_stop(void);

struct arena *native_arena(void);

/*
 * Its open_file opens what an image names: relative names from the folder of the image that says so; a leading "file:"
 * is taken off; a file that is open already is the same struct file again, so that loops are seen.
 */
struct image_environment *native_environment(void);

/* Device numbers are given in the order of the calls. Writing: an existing file, to be read and written. */
bool native_file_open(const char *path, bool for_writing, struct file **ret_file, struct error *error);
/* A file that is these bytes, which outlive it: for fuzzers and tests. `len` is its length; behind `bytes` are zeros.
 */
struct file *native_file_of_bytes(const void *bytes, uint64_t bytes_len, uint64_t len);
/*
 * A file to be written to, in memory of the caller's: it has `len` bytes, and room for `room_len`. What is behind `len`
 * is zeros. Getting longer than there is room for fails, as on a full file system.
 */
struct file *native_file_of_memory(uint8_t *memory, uint64_t room_len, uint64_t len);
/* From now on, writes behind full_off fail, as on a file system that is full; getting longer alone does not. */
void native_file_fill(struct file *file, uint64_t full_off);
/* How often file_read was called since the start. */
uint64_t native_file_reads(void);
/* The path of a file that native_file_open or open_file has opened. */
const char *native_file_path(uint32_t device);

/*
 * Runs a job as the guest's program does it: opens `paths` as the sources (job->sources has their formats), and the
 * target, which may be NULL; sends Complete at the end. Between native_start and native_stop.
 */
bool native_run_job(const instar_ImageJob *job, const char *const *paths, const char *target, struct error *error);

/* The same on files that are there already. */
bool native_run_job_on(const instar_ImageJob *job, struct file *const *sources, struct file *target,
                       struct error *error);

/* The file under a native struct file. -1: bytes in memory. */
int native_file_descriptor(const struct file *file);
/* Writes for native_io.c: as the devices do it. */
bool native_file_write(struct file *file, uint64_t off, const void *data, uint64_t len, struct error *error);
bool native_file_zero(struct file *file, uint64_t off, uint64_t len, struct error *error);
bool native_file_set_len(struct file *file, uint64_t len, struct error *error);

#endif
