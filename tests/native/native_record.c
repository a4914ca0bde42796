/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was asked of files, in order, for tests that play parts of it on copies of them (tests/lib/crashes.py). A line
 * for each event; the bytes of a write follow its line:
 *
 *     file DEVICE PATH          before the first event of this device
 *     write ID DEVICE OFF LEN
 *     zero ID DEVICE OFF LEN
 *     length ID DEVICE LEN
 *     flush ID DEVICE
 *     done ID                   the guest has been told that this request is finished
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"
#include "native_private.h"

#define DEVICES_MAX 512u
#define STEP_LEN (1u << 16)

static FILE *record(void)
{
    static FILE *file;
    static bool is_known;
    if (!is_known) {
        const char *path = getenv("NATIVE_RECORD");
        file = path != NULL ? fopen(path, "wb") : NULL;
        if (path != NULL && file == NULL) {
            fputs("native: the file for the record cannot be opened\n", stderr);
            abort();
        }
        is_known = true;
    }
    return file;
}

/* Where the event goes; NULL: nothing is recorded. */
static FILE *begin(const struct file *file)
{
    static bool is_named[DEVICES_MAX];
    FILE *out = record();
    const char *path = native_file_path(file->device);
    if (out == NULL || path == NULL || file->device >= DEVICES_MAX) {
        return NULL;
    }
    if (!is_named[file->device]) {
        is_named[file->device] = true;
        fprintf(out, "file %u %s\n", file->device, path);
    }
    return out;
}

void native_record_write(uint64_t id, struct file *file, uint64_t off, uint64_t len)
{
    static uint8_t bytes[STEP_LEN];
    struct error error = {0};
    FILE *out = begin(file);
    len = off < file->len ? min_u64(len, file->len - off) : 0;
    if (out == NULL) {
        return;
    }
    fprintf(out, "write %" PRIu64 " %u %" PRIu64 " %" PRIu64 "\n", id, file->device, off + file->start_off, len);
    for (uint64_t done = 0; done < len; done += STEP_LEN) {
        size_t part_len = (size_t)min_u64(len - done, STEP_LEN);
        if (!file_read(file, off + done, bytes, part_len, &error) || fwrite(bytes, 1, part_len, out) != part_len) {
            fputs("native: what was written cannot be recorded\n", stderr);
            abort();
        }
    }
}

void native_record_zero(uint64_t id, struct file *file, uint64_t off, uint64_t len)
{
    FILE *out = begin(file);
    len = off < file->len ? min_u64(len, file->len - off) : 0;
    if (out != NULL) {
        fprintf(out, "zero %" PRIu64 " %u %" PRIu64 " %" PRIu64 "\n", id, file->device, off + file->start_off, len);
    }
}

void native_record_length(uint64_t id, const struct file *file)
{
    FILE *out = begin(file);
    if (out != NULL) {
        fprintf(out, "length %" PRIu64 " %u %" PRIu64 "\n", id, file->device, file->start_off + file->len);
    }
}

void native_record_flush(uint64_t id, const struct file *file)
{
    FILE *out = begin(file);
    if (out != NULL) {
        fprintf(out, "flush %" PRIu64 " %u\n", id, file->device);
    }
}

void native_record_done(uint64_t id)
{
    if (record() != NULL) {
        fprintf(record(), "done %" PRIu64 "\n", id);
    }
}
