/* SPDX-License-Identifier: Apache-2.0 */
/* A disk within another file. */
#include "guest/image/file_window.h"

#include "base/checked.h"
#include "base/units.h"

bool file_window_check(const struct file_window *window, uint64_t containing_len, const char *place, uint64_t *ret_len,
                       struct error *error)
{
    uint64_t whole_len;
    if (!checked_round_up(containing_len, SECTOR_LEN, &whole_len)) {
        return error_set(error, ERROR_UNSUPPORTED, place, "the file is too long");
    }
    if (window->off > whole_len) {
        return error_set(error, ERROR_USAGE, place,
                         "Offset (%llu) cannot be greater than size of the containing file (%llu)",
                         (unsigned long long)window->off, (unsigned long long)whole_len);
    }
    if (window->has_len && window->len > whole_len - window->off) {
        return error_set(error, ERROR_USAGE, place,
                         "The sum of offset (%llu) and size (%llu) has to be smaller or equal to the  actual size of "
                         "the containing file (%llu)",
                         (unsigned long long)window->off, (unsigned long long)window->len,
                         (unsigned long long)whole_len);
    }
    if (window->has_len && window->len % SECTOR_LEN != 0) {
        return error_set(error, ERROR_USAGE, place, "Specified size is not multiple of %u", SECTOR_LEN);
    }
    if (window->off % SECTOR_LEN != 0) { /* ours: QEMU 7.2 crashes when it tells of such a part of a file */
        return error_set(error, ERROR_UNSUPPORTED, place, "an offset (%llu) that is no multiple of %u is not supported",
                         (unsigned long long)window->off, SECTOR_LEN);
    }
    *ret_len = window->has_len ? window->len : whole_len - window->off;
    return true;
}

bool file_set_window(struct file *file, const struct file_window *window, struct error *error)
{
    uint64_t window_len;
    RETURN_IF_FAILED(file_window_check(window, file->len, file->name, &window_len, error));
    uint64_t left_len = window->off < file->len ? file->len - window->off : 0;
    file->start_off += min_u64(window->off, file->len);
    file->len = min_u64(window_len, left_len);
    return true;
}
