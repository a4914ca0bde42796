/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image that is written: a new one, which arrives front to back (convert, create, dd), or an existing one
 * (convert -n, bench -w). What differs between formats, where bytes go and which tables tell of it, is behind this
 * table; operations only say what the disk shall be.
 *
 * Everything is started here and finishes later: requests go to io, and their `done` is called from io_poll and
 * io_wait. For vCPU 0 only, except for compress.
 */
#ifndef INSTAR_GUEST_IMAGE_WRITE_TARGET_H
#define INSTAR_GUEST_IMAGE_WRITE_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"
#include "guest/image/file.h"
#include "guest/image/image.h"
#include "guest/image/io.h"
#include "messages.pb.h"

struct target;

/* A stretch of the disk whose bytes are in memory, or on their way. The caller's own until it is written. */
struct target_write {
    void (*done)(struct target_write *write, const struct error *error); /* NULL on success */
    void *owner;
    struct io_request request; /* the target's, from start to done */
};

/* A compressed unit in a file: its stream lies within `len` bytes at `off`. */
struct target_stream {
    uint64_t off;
    uint32_t len;
};

/* The format's own choice. */
#define TARGET_LEVEL_DEFAULT INT32_MIN

/* Of deflate. */
enum target_window {
    TARGET_WINDOW_DEFAULT,
    TARGET_WINDOW_SMALL, /* 4 KiB */
    TARGET_WINDOW_LARGE, /* 32 KiB */
};

struct target_compression {
    int32_t level; /* or TARGET_LEVEL_DEFAULT */
    enum target_window window;
    bool recompresses; /* streams of sources are not taken as they are */
};

/* A length that stands for a stream that was made wrong: a fault of the program, or of the machine. */
#define TARGET_COMPRESS_FAILED UINT32_MAX

struct target_operations {
    /*
     * `len` bytes at `voff`, from arena memory that stays as it is until done. Both are multiples of unit_len, except
     * at the end of the disk, and of 512 at least; with stores_zeros, where nothing is left out, that is enough. In a
     * new image voff never goes back, in any of these functions. Takes what it can place in one piece: *ret_len bytes,
     * a unit at least; the caller comes again with the rest.
     */
    bool (*write)(struct target *target, struct target_write *write, uint64_t voff, const void *data, uint64_t len,
                  uint64_t *ret_len, struct error *error);
    /*
     * The same with the bytes of another file, which do not pass through the guest. With `zero_len` the host leaves out
     * runs of zeros of that length: only where detects_zeros; 0: it does not look.
     */
    bool (*copy)(struct target *target, struct target_write *write, uint64_t voff, struct file *source,
                 uint64_t source_off, uint64_t len, uint32_t zero_len, uint64_t *ret_len, struct error *error);
    /* The stretch reads as zeros. Finishes at once as far as the caller is concerned. */
    bool (*zero)(struct target *target, uint64_t voff, uint64_t len, struct error *error);
    /* Of an image that exists, before anything is written: sets compress_len. NULL: nothing can be compressed. */
    bool (*begin_compression)(struct target *target, const struct target_compression *compression, struct error *error);
    /*
     * Of an image that exists, before anything is written, and instead of it: nothing is compressed, but streams of
     * sources are taken as they are. Sets takes_streams and compress_len, which stay as they are where the image cannot
     * have compressed clusters, or could not do something with them any more, or no memory is left. NULL: it never can.
     */
    void (*begin_streams)(struct target *target);
    /*
     * One cluster, as `compress` made it; `stream` stays until done. Both are NULL where nothing can be compressed.
     * Here, and in `write` of what did not get shorter where compresses_always is set, `done` may be called before the
     * call returns.
     */
    bool (*write_compressed)(struct target *target, struct target_write *write, uint64_t voff, struct span stream,
                             struct error *error);
    /*
     * Compressed units, of takes_streams, that follow each other on the disk from `voff` on, as they lie in another
     * file: the host copies them, with what is between them there, and nobody looks at what they are. They lie within
     * the file, which stays as it is until all is done, and each takes two units of it at most. Takes *ret_count of
     * them, one at least. `done` may be called before the call returns. NULL: cannot be done; never without
     * takes_copies.
     */
    bool (*copy_streams)(struct target *target, struct target_write *write, uint64_t voff, struct file *source,
                         const struct target_stream *streams, uint32_t count, uint32_t *ret_count, struct error *error);
    /*
     * Any vCPU: compresses a whole cluster (the last one padded with zeros) into `stream`, which has room for a
     * cluster. Returns its length in bytes, 0 when it does not get shorter, or TARGET_COMPRESS_FAILED. `scratch` has
     * scratch_len bytes, page by page: zeros before the first call, then what the last one left there; each vCPU has
     * its own.
     */
    uint32_t (*compress)(const struct target *target, struct span cluster, uint8_t *stream, void *scratch);
    /*
     * The bitmaps that another image has, with their bits, but for those that are inconsistent. Before anything is
     * written: whether they can be added. Both are NULL where there can be none.
     */
    bool (*begin_bitmaps)(struct target *target, struct image *source, struct error *error);
    /* After everything has been written: adds them. Waits. */
    bool (*add_bitmaps)(struct target *target, struct image *source, struct error *error);
    /* After everything is done: the tables, at last the header. Waits. With sync, on stable storage. */
    bool (*finish)(struct target *target, bool sync, struct error *error);
    /*
     * Of an image that exists, before `finish`: it has nothing of the disk any more, which is its backing file's then.
     * Whenever that ends, each cluster is stored or not. Waits. NULL: its images cannot be emptied.
     */
    bool (*make_empty)(struct target *target, struct error *error);
    /*
     * Of an image that exists, before anything is written: whether set_backing will take this. `backing` is that image,
     * NULL where nobody has looked at it. An error is qemu-img's words for why not. NULL: set_backing says so.
     */
    bool (*can_set_backing)(struct target *target, const struct file_name *name, const char *format,
                            const struct image *backing, struct error *error);
    /*
     * Of an image that exists, after `finish`: it names this backing file of this format (empty: not told); a name that
     * is not set: none. Waits; what was written before is on stable storage first, and this afterwards. An error
     * without a place is qemu-img's words for why not. NULL: its images cannot get another one.
     */
    bool (*set_backing)(struct target *target, const struct file_name *name, const char *format, struct error *error);
    /*
     * Of an image that exists, instead of `finish` when the job has failed: nobody's storage is given back, as far as
     * that works, and each sector stays as it is in the file. Waits. NULL: there is nothing to give back.
     */
    void (*abandon)(struct target *target);
    /* Everything so far is on stable storage. Waits. NULL: a new image, which is none before it is finished. */
    bool (*flush)(struct target *target, struct error *error);
};

/* The part that all have; a format's own struct begins with it. */
struct target {
    const struct target_operations *operations;
    struct file *file;
    struct io *io;
    uint64_t virtual_len;
    uint32_t unit_len; /* bytes, a power of two: what the format can store or leave out */
    /*
     * Bytes, a power of two, or 0: zeros are looked for beforehand in units of so much at least, as no less decides
     * whether something is stored. What is zeros within such a unit, `copy` leaves out.
     */
    uint32_t zero_unit_len;
    uint32_t compress_len;          /* bytes of what is compressed, a cluster; 0: nothing is */
    uint32_t scratch_len;           /* bytes of memory that compress needs for each vCPU */
    enum stream_kind takes_streams; /* write_compressed takes a source's sound stream of this kind; OTHER: none */
    bool has_backing;               /* what is not written is the backing file's, so zeros must be written */
    bool marks_zeros;       /* its user's: zeros are to be so also over a backing file that comes later (rebase -u) */
    bool takes_copies;      /* copy works */
    bool compresses_always; /* everything comes compressed, also where nobody asks for that */
    bool has_compressed_kinds; /* this one is none: as in qemu-img, a wish to compress is no error */
    bool detects_zeros;        /* copy can leave out zeros; otherwise somebody has to look before */
    uint32_t pending;          /* requests of its own that are under way */
    struct error error;        /* of the first one that failed: nothing works from then on */
};

/* A new image. */
struct target_setup {
    struct image_environment *environment;
    struct file *file; /* empty and of any length to come, or a block device */
    /*
     * The other files of the image, which are like the first: what they are, the host and the format agree on by the
     * image's options. One, where there is an option data_file, or as many as the image consists of.
     */
    struct file *const *further_files;
    uint32_t further_file_count;
    struct file_name data_name;            /* as the image shall name the first of them */
    uint64_t virtual_len;                  /* bytes, whole sectors of 512 */
    bool stores_zeros;                     /* storage for everything, also for zeros (-S 0) */
    bool compresses;                       /* what comes will be compressed, as far as that makes it shorter (-c) */
    struct target_compression compression; /* then */
    const instar_FormatOption *options;
    uint32_t option_count;
    struct file_name backing_name;
    const char *backing_format; /* empty: not told */
    struct image *backing;      /* create: that image, opened to describe it; NULL: nobody has looked */
    bool is_for_create;         /* the operation, which has words of its own for a disk that is too long */
    const instar_ImageIdentity *identity;
    const struct shard *shard; /* it becomes this part of an image; NULL: all of it */
};

/* The file with this number of those that the image consists of, besides its own; NULL: the job has none. */
static inline struct file *target_further_file(const struct target_setup *setup, uint32_t number)
{
    return number < setup->further_file_count ? setup->further_files[number] : NULL;
}

/* A new image of the format that is called so. */
MUST_CHECK bool target_create(const char *format, const struct target_setup *setup, struct target **ret_target,
                              struct error *error);

/* Changes an image that exists, which was opened to be read, with what is behind it. Its length stays. */
MUST_CHECK bool target_open_image(struct image *image, struct target **ret_target, struct error *error);

/* The same with the file's image, which is opened first; an empty format is probed. `key` opens it if it is encrypted.
 */
MUST_CHECK bool target_open(const char *format, const struct image_key *key, struct image_environment *environment,
                            struct file *file, struct target **ret_target, struct error *error);

/*
 * What the images from `first` up to `end`, which is not one of them (NULL: all that are behind it), have compressed is
 * to be written as it is: begin_streams, if there may be any such thing.
 */
void target_begin_streams(struct target *target, const struct image *first, const struct image *end);

/* The job has failed. NULL: it had not come so far. */
void target_abandon(struct target *target);

/*
 * For the formats. Each request is counted from its start (target->pending) to its end (target_request_done), also by
 * those that have an owner of their own.
 */

/* False, with the error of a request that has failed. */
MUST_CHECK bool target_check(const struct target *target, struct error *error);
/* Waits until nothing is under way. */
MUST_CHECK bool target_settle(struct target *target, struct error *error);
/* After a failure: waits until nothing is under way; what comes then works again. */
MUST_CHECK bool target_revive(struct target *target, struct error *error);
/* A counted request has ended. */
void target_request_done(struct target *target, const struct error *error);
/* Counts the write's request, which the caller starts next; its end is the write's end. */
void target_begin_write(struct target *target, struct target_write *write);
/* What target_begin_write sets as the request's `done`. */
void target_write_done(struct io_request *request, const struct error *error);
/* A counted request, which may be on the stack: whoever asks for it settles before it goes. */
struct io_request target_own_request(struct target *target);
/* What was written to the file so far is on stable storage; nothing is under way afterwards. */
MUST_CHECK bool target_flush_file(struct target *target, struct file *file, struct error *error);
/* Gives a file of the image's this length; nothing is under way before or afterwards. */
MUST_CHECK bool target_set_len(struct target *target, struct file *file, uint64_t len, struct error *error);
/*
 * Makes the file long enough for bytes up to `end_off`, in steps of 1/8 between min_growth, or twice its length, and
 * max_growth bytes, as growing means to wait for all that is under way.
 */
MUST_CHECK bool target_grow_to(struct target *target, uint64_t end_off, uint64_t min_growth, uint64_t max_growth,
                               struct error *error);

/* For a format without backing files and compression, which is called so: refuses them in QEMU's words. */
MUST_CHECK bool target_check_plain(const struct target_setup *setup, const char *format, struct error *error);

/*
 * For an image that is found by what is at the end of its file: refuses one that cannot get `len` bytes, a device.
 * UINT64_MAX: how many there will be is not known yet.
 */
MUST_CHECK bool target_check_end(const struct target_setup *setup, uint64_t len, struct error *error);

/* Whether a compressor has this level, which the user chose. */
MUST_CHECK bool target_check_level(int level, int level_min, int level_max, struct error *error);

/* Takes a name of `len` bytes; of 0 bytes, none. False when it is too long. */
bool target_name_set(struct file_name *name, const uint8_t *bytes, size_t len);

#endif
