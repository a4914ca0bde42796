/* SPDX-License-Identifier: Apache-2.0 */
/* file.h over files of the host, or over memory. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "native_private.h"

#define FILES_MAX 512u

struct native_file {
    struct file file;
    char name[32];
    char *path;
    int fd;               /* -1: bytes */
    const uint8_t *bytes; /* of a file in memory */
    uint64_t bytes_len;
    uint8_t *memory; /* the same, when it is written to; bytes_len is the room then */
    bool is_full;    /* there is no room for anything behind full_off */
    uint64_t full_off;
    dev_t host_device;
    ino_t inode;
};

static struct native_file *files[FILES_MAX];
static uint32_t file_count;
static uint64_t read_count;

static struct native_file *native_of(const struct file *file)
{
    return file->state;
}

/* Allocated one by one, so that a sanitizer sees an access behind any of them. */
static struct native_file *add_file(void)
{
    if (file_count == FILES_MAX) {
        fputs("native: too many files\n", stderr);
        abort();
    }
    struct native_file *native = calloc(1, sizeof(*native));
    if (native == NULL) {
        abort();
    }
    native->fd = -1;
    native->file.device = file_count;
    snprintf(native->name, sizeof(native->name), "device %u", file_count);
    native->file.name = native->name;
    native->file.allocated_len = UINT64_MAX;
    native->file.state = native;
    files[file_count++] = native;
    return native;
}

void native_files_close(void)
{
    for (uint32_t i = 0; i < file_count; i++) {
        if (files[i]->fd >= 0) {
            close(files[i]->fd);
        }
        free(files[i]->path);
        free(files[i]);
    }
    file_count = 0;
    read_count = 0;
}

uint64_t native_file_reads(void)
{
    return read_count;
}

static struct native_file *find_open(const struct stat *status)
{
    for (uint32_t i = 0; i < file_count; i++) {
        if (files[i]->fd >= 0 && files[i]->host_device == status->st_dev && files[i]->inode == status->st_ino) {
            return files[i];
        }
    }
    return NULL;
}

static bool open_file(const char *path, bool for_writing, bool may_be_open, struct file **ret_file, struct error *error)
{
    struct stat status;
    int fd = open(path, (for_writing ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0) {
        bool result = error_set(error, ERROR_IO, NULL, "cannot open '%s': %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return result;
    }
    struct native_file *native = may_be_open ? find_open(&status) : NULL;
    if (native != NULL) {
        close(fd);
    } else {
        native = add_file();
        native->fd = fd;
        native->path = strdup(path);
        native->host_device = status.st_dev;
        native->inode = status.st_ino;
        native->file.len = S_ISREG(status.st_mode) ? (uint64_t)status.st_size : (uint64_t)lseek(fd, 0, SEEK_END);
        native->file.allocated_len = (uint64_t)status.st_blocks * 512;
        native->file.is_resizable = for_writing;
        native->file.takes_copies = for_writing;
        native->file.finds_zeros = true;
        native->file.reads_as_zero = for_writing && status.st_size == 0;
    }
    *ret_file = &native->file;
    return true;
}

bool native_file_open(const char *path, bool for_writing, struct file **ret_file, struct error *error)
{
    return open_file(path, for_writing, false, ret_file, error);
}

struct file *native_file_of_bytes(const void *bytes, uint64_t bytes_len, uint64_t len)
{
    struct native_file *native = add_file();
    native->bytes = bytes;
    native->bytes_len = min_u64(bytes_len, len);
    native->file.len = len;
    native->file.finds_zeros = true;
    return &native->file;
}

struct file *native_file_of_memory(uint8_t *memory, uint64_t room_len, uint64_t len)
{
    struct file *file = native_file_of_bytes(memory, room_len, len);
    struct native_file *native = native_of(file);
    native->memory = memory;
    native->bytes_len = room_len;
    file->is_resizable = true;
    file->takes_copies = true;
    file->reads_as_zero = len == 0;
    return file;
}

const char *native_file_path(uint32_t device)
{
    return device < file_count ? files[device]->path : NULL;
}

int native_file_descriptor(const struct file *file)
{
    return native_of(file)->fd;
}

bool native_open_late(struct image_environment *environment, struct span name, const struct file *referrer,
                      enum image_file_use use, struct file **ret_file, struct error *error)
{
    (void)environment;
    char path[PATH_MAX];
    if (native_refuses_late_files()) {
        return error_set(error, ERROR_REFUSED, NULL, "the host does not give the file");
    }
    if (name.len >= 5 && memcmp(name.data, "file:", 5) == 0) {
        name = (struct span){name.data + 5, name.len - 5};
    }
    const char *from = native_of(referrer)->path;
    const char *slash = from != NULL ? strrchr(from, '/') : NULL;
    int folder_len = slash != NULL && name.len > 0 && name.data[0] != '/' ? (int)(slash + 1 - from) : 0;
    int len = snprintf(path, sizeof(path), "%.*s%.*s", folder_len, from != NULL ? from : "", (int)name.len,
                       (const char *)name.data);
    if (len < 0 || (size_t)len >= sizeof(path) || memchr(name.data, '\0', name.len) != NULL) {
        return error_set(error, ERROR_REFUSED, NULL, "the host has no such file");
    }
    bool is_changed = (use == IMAGE_FILE_DATA || use == IMAGE_FILE_PART) && referrer->is_resizable;
    return open_file(path, is_changed, !is_changed, ret_file, error);
}

bool file_read(struct file *file, uint64_t off, void *target, size_t len, struct error *error)
{
    if (file->source != NULL) {
        return file->source->read(file, off, target, len, error);
    }
    struct native_file *native = native_of(file);
    uint64_t there = off < file->len ? min_u64(len, file->len - off) : 0;
    read_count++;
    memset(target, 0, len);
    off += file->start_off;
    if (native->fd < 0) {
        if (off < native->bytes_len) {
            memcpy(target, native->bytes + off, (size_t)min_u64(there, native->bytes_len - off));
        }
        return true;
    }
    uint8_t *next = target;
    while (there > 0) { /* ends: each round reads a byte at least */
        ssize_t count = pread(native->fd, next, (size_t)there, (off_t)off);
        if (count <= 0) {
            return error_set(error, ERROR_IO, file->name, "read of %zu bytes at offset 0x%llx failed", len,
                             (unsigned long long)off);
        }
        next += count;
        off += (uint64_t)count;
        there -= (uint64_t)count;
    }
    return true;
}

bool file_extent(struct file *file, uint64_t off, enum file_extent_kind *ret_kind, uint64_t *ret_len,
                 struct error *error)
{
    if (file->source != NULL) {
        return file->source->extent(file, off, ret_kind, ret_len, error);
    }
    struct native_file *native = native_of(file);
    if (off >= file->len) {
        return error_set(error, ERROR_GUEST, file->name, "query of data and holes behind the end");
    }
    uint64_t end_off = file->start_off + file->len;
    off += file->start_off;
    if (native->fd < 0) {
        bool is_data = off < native->bytes_len;
        *ret_kind = is_data ? FILE_DATA : FILE_HOLE;
        *ret_len = (is_data ? min_u64(native->bytes_len, end_off) : end_off) - off;
        return true;
    }
    off_t data = lseek(native->fd, (off_t)off, SEEK_DATA);
    if (data < 0 && errno == ENXIO) { /* no data up to the end */
        data = (off_t)end_off;
    }
    if (data < 0) { /* the file cannot tell */
        data = (off_t)off;
    }
    bool is_data = (uint64_t)data == off;
    off_t end = is_data ? lseek(native->fd, (off_t)off, SEEK_HOLE) : data;
    *ret_kind = is_data ? FILE_DATA : FILE_HOLE;
    *ret_len = (end > (off_t)off ? min_u64((uint64_t)end, end_off) : end_off) - off;
    return true;
}

void native_file_fill(struct file *file, uint64_t full_off)
{
    native_of(file)->is_full = true;
    native_of(file)->full_off = full_off;
}

/* Of bytes that are written: whether they find room. */
static bool check_room(const struct file *file, uint64_t off, uint64_t len, struct error *error)
{
    const struct native_file *native = native_of(file);
    return !native->is_full || range_is_within(off, len, native->full_off) ||
           error_set(error, ERROR_NO_SPACE, file->name, "no room is left at offset 0x%llx", (unsigned long long)off);
}

bool native_file_write(struct file *file, uint64_t off, const void *data, uint64_t len, struct error *error)
{
    RETURN_IF_FAILED(check_room(file, off, len, error));
    const uint8_t *next = data;
    uint64_t there = off < file->len ? min_u64(len, file->len - off) : 0;
    if (native_of(file)->memory != NULL && there > 0) {
        memcpy(native_of(file)->memory + off, data, (size_t)there);
        return true;
    }
    while (there > 0) { /* ends: each round writes a byte at least */
        ssize_t count = pwrite(native_of(file)->fd, next, (size_t)there, (off_t)off);
        if (count <= 0) {
            return error_set(error, ERROR_IO, file->name, "write of %llu bytes at offset 0x%llx failed",
                             (unsigned long long)len, (unsigned long long)off);
        }
        next += count;
        off += (uint64_t)count;
        there -= (uint64_t)count;
    }
    return true;
}

bool native_file_set_len(struct file *file, uint64_t len, struct error *error)
{
    struct native_file *native = native_of(file);
    if (native->memory != NULL && len <= native->bytes_len) {
        memset(native->memory + min_u64(len, file->len), 0, (size_t)(file->len - min_u64(len, file->len)));
    } else if (native->memory != NULL || ftruncate(native->fd, (off_t)len) != 0) {
        return error_set(error, ERROR_IO, file->name, "the file cannot have %llu bytes", (unsigned long long)len);
    }
    file->len = len;
    return true;
}

bool native_file_zero(struct file *file, uint64_t off, uint64_t len, struct error *error)
{
    static const uint8_t zeros[65536];
    RETURN_IF_FAILED(check_room(file, off, len, error));
    len = off < file->len ? min_u64(len, file->len - off) : 0;
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    if (native_of(file)->memory != NULL && len > 0) {
        memset(native_of(file)->memory + off, 0, (size_t)len);
        return true;
    }
    if (len == 0 || fallocate(native_of(file)->fd, mode, (off_t)off, (off_t)len) == 0) {
        return true;
    }
    for (uint64_t done = 0; done < len; done += sizeof(zeros)) {
        RETURN_IF_FAILED(native_file_write(file, off + done, zeros, min_u64(len - done, sizeof(zeros)), error));
    }
    return true;
}
