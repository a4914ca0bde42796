/* SPDX-License-Identifier: Apache-2.0 */
/* A disk within another file. */
#include "base/checked.h"
#include "guest/image/file.h"

/* As QEMU counts the length of files. */
#define SECTOR_LEN 512u

bool file_set_window(struct file *file, uint64_t off, bool has_len, uint64_t len, struct error *error)
{
    uint64_t whole_len;
    if (!checked_round_up(file->len, SECTOR_LEN, &whole_len)) {
        return error_set(error, ERROR_UNSUPPORTED, file->name, "the file is too long");
    }
    if (off > whole_len) {
        return error_set(error, ERROR_USAGE, file->name,
                         "Offset (%llu) cannot be greater than size of the containing file (%llu)",
                         (unsigned long long)off, (unsigned long long)whole_len);
    }
    if (has_len && len > whole_len - off) {
        return error_set(error, ERROR_USAGE, file->name,
                         "The sum of offset (%llu) and size (%llu) has to be smaller or equal to the  actual size of "
                         "the containing file (%llu)",
                         (unsigned long long)off, (unsigned long long)len, (unsigned long long)whole_len);
    }
    if (has_len && len % SECTOR_LEN != 0) {
        return error_set(error, ERROR_USAGE, file->name, "Specified size is not multiple of %u", SECTOR_LEN);
    }
    if (off % SECTOR_LEN != 0) { /* ours: QEMU 7.2 crashes when it tells of such an image */
        return error_set(error, ERROR_UNSUPPORTED, file->name,
                         "an offset (%llu) that is no multiple of %u is not supported", (unsigned long long)off,
                         SECTOR_LEN);
    }
    uint64_t left_len = off < file->len ? file->len - off : 0;
    file->start_off += min_u64(off, file->len);
    file->len = has_len ? min_u64(len, left_len) : left_len;
    return true;
}
