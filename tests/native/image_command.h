/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of image_native and image_machine, which run one job of the image program and print what the guest
 * says, a JSON object per line:
 *
 *     image_native OPERATION [options] FILE...
 *
 *     -f FORMAT            of the files that follow; "" probes
 *     -l SNAPSHOT          id or name
 *     --secret ID=PASSPHRASE   the first one opens the files that follow
 *     --chain              info: of all images of the chain
 *     --start N, --length N    map
 *     --findings N         check
 *     --memory-left N      of image_native: no more bytes of memory for the operation
 *     --strict             compare
 *     -O FORMAT, -o NAME=VALUE, --size N   measure, convert, create
 *     -b NAME, -F FORMAT   create, convert: the backing file, as the image shall name it; FILE is where its size comes
 * from
 *     --target FILE           convert, create: exists and is empty
 *     --size N, --shrink, --preallocation MODE   resize
 *     --action create|apply|delete, -l NAME      snapshot
 *     -o NAME=VALUE, --force                     amend
 *     --action ACTION,... -l NAME, --granularity N   bitmap: add, remove, clear, enable, disable, merge=SOURCE; the
 * second FILE has SOURCE
 *     -b NAME, -F FORMAT, --unsafe               rebase: FILE is the image, and a second one the new backing file
 *     --drop, --rate N                           commit: FILE is the image, and a second one its base
 *     --sync                                     convert, create, resize, snapshot
 *     --count N, --depth N, --start N, --size N, --step N, --write, --pattern N, --flush N   bench
 *     --sparse N, --target-is-zero, --target-exists, --salvage, --bitmaps   convert
 *     -c, --level N, --large-window   convert: compress
 *     --start N, --length N, --rate N   convert: a part of the disk; bytes per second
 *
 * Exit code 0 when the guest's last message says success, 1 when not, 2 for wrong use.
 */
#ifndef INSTAR_TESTS_NATIVE_IMAGE_COMMAND_H
#define INSTAR_TESTS_NATIVE_IMAGE_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "messages.pb.h"

#define IMAGE_COMMAND_FILES_MAX 32u

struct image_command {
    instar_ImageJob job;
    const char *paths[IMAGE_COMMAND_FILES_MAX];
    const char *target;
    const char *format;
    const char *target_format;
    const char *backing; /* of a new image */
    const char *backing_format;
    instar_FormatOption options[16];
    pb_size_t option_count;
    bool has_size;
    uint64_t size;
    uint64_t start, length;
    bool has_range;
    uint64_t rate;
    int32_t level;
    bool has_level;
    uint64_t memory_left; /* 0: all */
    uint32_t findings;
    uint32_t sparse;
    bool chain, strict, target_is_zero, target_exists, salvage, compress, large_window;
    const char *preallocation;
    const char *action;
    uint64_t granularity;
    bool shrink, write, sync, is_unsafe, drop, bitmaps, force;
    uint32_t count, depth, pattern, flush;
    uint64_t step;
};

/* Ends the program when the command line is wrong. */
void image_command_parse(struct image_command *command, int argc, char **argv);

/* Progress and the like are not printed. */
void image_command_print(const instar_GuestMessage *message);

#endif
