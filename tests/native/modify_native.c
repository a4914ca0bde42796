/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes an image that exists, natively, as lines of standard input say:
 *
 *     modify_native FORMAT IMAGE
 *
 *     w VOFF LEN BYTE   writes so many of this byte
 *     c VOFF LEN FILE   copies the start of a file
 *     z VOFF LEN        makes them zeros
 *     f                 flushes
 *
 * Requests stay under way until something else is asked for. Exit code 0, or 1 with an error on standard error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "guest/image/io.h"
#include "guest/image/write/target.h"
#include "native.h"

#define BUFFER_LEN (4u << 20)
#define WRITES_MAX 64u

static uint32_t pending;
static struct error failure;

static void write_done(struct target_write *write, const struct error *error)
{
    *(bool *)write->owner = false;
    pending--;
    if (error != NULL) {
        failure = *error;
    }
}

/* One stretch, in as many requests as the target makes of it. */
static bool write_stretch(struct target *target, uint64_t voff, uint64_t len, const uint8_t *data, struct file *source,
                          struct error *error)
{
    static struct target_write writes[WRITES_MAX];
    static bool is_busy[WRITES_MAX];
    uint64_t done = 0;
    while (done < len) {
        uint32_t i = 0;
        while (is_busy[i]) { /* ends: there is always one that is not */
            i++;
        }
        struct target_write *write = &writes[i];
        uint64_t part_len = 0;
        *write = (struct target_write){.done = write_done, .owner = &is_busy[i]};
        is_busy[i] = true;
        pending++;
        bool is_started =
            source != NULL
                ? target->operations->copy(target, write, voff + done, source, done, len - done, 0, &part_len, error)
                : target->operations->write(target, write, voff + done, data + done, len - done, &part_len, error);
        RETURN_IF_FAILED(is_started);
        done += part_len;
        while (pending == WRITES_MAX) {
            RETURN_IF_FAILED(io_wait(target->io, error));
        }
    }
    while (pending > 0) {
        RETURN_IF_FAILED(io_wait(target->io, error));
    }
    return true;
}

static uint64_t number_of(const char *word)
{
    return word != NULL ? strtoull(word, NULL, 10) : 0;
}

static bool run_line(struct target *target, char *line, uint8_t *buffer, struct error *error)
{
    char *rest;
    const char *kind = strtok_r(line, " \n", &rest);
    uint64_t voff = number_of(strtok_r(NULL, " \n", &rest));
    uint64_t len = number_of(strtok_r(NULL, " \n", &rest));
    const char *what = strtok_r(NULL, " \n", &rest);
    if (!range_is_within(voff, len, target->virtual_len)) { /* operations ask for no such thing */
        return error_set(error, ERROR_USAGE, NULL, "a step behind the disk's end");
    }
    if (kind != NULL && strcmp(kind, "w") == 0 && len <= BUFFER_LEN) {
        memset(buffer, (int)number_of(what), len);
        return write_stretch(target, voff, len, buffer, NULL, error);
    }
    if (kind != NULL && strcmp(kind, "c") == 0 && what != NULL) {
        struct file *source;
        RETURN_IF_FAILED(native_file_open(what, false, &source, error));
        return write_stretch(target, voff, len, NULL, source, error);
    }
    if (kind != NULL && strcmp(kind, "z") == 0) {
        return target->operations->zero(target, voff, len, error);
    }
    if (kind != NULL && strcmp(kind, "f") == 0) {
        return target->operations->flush(target, error);
    }
    return error_set(error, ERROR_USAGE, NULL, "a step that is not understood");
}

static bool run(const char *format, const char *path, struct error *error)
{
    char line[512];
    struct file *file;
    struct target *target;
    struct image_environment *environment = native_environment();
    const struct image_key no_key = {0};
    uint8_t *buffer = arena_allocate(native_arena(), BUFFER_LEN, 4096);
    environment->io = io_make(native_arena(), NATIVE_IO_REQUESTS);
    RETURN_IF_FAILED(native_file_open(path, true, &file, error));
    RETURN_IF_FAILED(target_open(format, &no_key, environment, file, &target, error));
    while (fgets(line, sizeof(line), stdin) != NULL) {
        RETURN_IF_FAILED(run_line(target, line, buffer, error));
        if (error_is_set(&failure)) {
            *error = failure;
            return false;
        }
    }
    return target->operations->finish(target, false, error);
}

/* To the leak sanitizer: memory is static or the arena's, and looking through all of it takes longer than the rest. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return 1;
}

int main(int argc, char **argv)
{
    struct error error = {0};
    if (argc != 3) {
        fprintf(stderr, "usage: modify_native FORMAT IMAGE <STEPS\n");
        return 2;
    }
    native_start(&(struct native_setup){0});
    bool success = run(argv[1], argv[2], &error);
    if (!success) {
        fprintf(stderr, "modify_native: %s: %s\n", error.place, error.detail);
    }
    native_stop();
    return success ? 0 : 1;
}
