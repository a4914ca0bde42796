/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vhdx/vhdx_log.h"

#include "base/checked.h"

static const char entry_signature[4] = {'l', 'o', 'g', 'e'};
static const char zero_signature[4] = {'z', 'e', 'r', 'o'};
static const char data_signature[4] = {'d', 'e', 's', 'c'};
static const char sector_signature[4] = {'d', 'a', 't', 'a'};

/* 2.3.1.1 */
struct entry_disk {
    char signature[4];
    struct le32 checksum;
    struct le32 len;
    struct le32 tail_off; /* within the log: the oldest entry that was not in the file yet */
    struct le64 sequence;
    struct le32 descriptor_count;
    struct le32 reserved;
    struct vhdx_guid log_id;
    struct le64 flushed_len; /* of the file: what was stable when the entry was written */
    struct le64 last_len;    /* of the file: what all its allocations need */
};
_Static_assert(sizeof(struct entry_disk) == 64, "descriptors begin behind 64 bytes");

/* 2.3.1.2 and 2.3.1.3: of zeros, `leading` is their length, and there is no trailing. */
struct descriptor_disk {
    char signature[4];
    uint8_t trailing[VHDX_TRAILING_LEN];
    union {
        uint8_t leading[VHDX_LEADING_LEN];
        struct le64 zero_len;
    };
    struct le64 file_off;
    struct le64 sequence;
};
_Static_assert(sizeof(struct descriptor_disk) == 32, "as in the specification");

/* 2.3.1.4: a data sector's first and last bytes. */
struct sector_head_disk {
    char signature[4];
    struct le32 sequence_high;
};

#define DESCRIPTORS_IN_FIRST ((VHDX_LOG_SECTOR_LEN - sizeof(struct entry_disk)) / sizeof(struct descriptor_disk))
#define DESCRIPTORS_IN_SECTOR (VHDX_LOG_SECTOR_LEN / sizeof(struct descriptor_disk))

struct log {
    struct image *image;
    const struct vhdx_header *header;
    uint64_t
        budget; /* bytes that may still be looked at, so that entries that overlap cost no more than the log is long */
};

struct entry {
    uint32_t off; /* within the log */
    uint32_t len;
    uint32_t tail_off;
    uint32_t descriptor_count;
    uint64_t sequence;
    uint64_t flushed_len;
    uint64_t last_len;
};

/* Entries one behind the other, from `tail` on to `head`. */
struct sequence {
    bool is_found;
    uint32_t tail_off;
    struct entry head;
};

/* A sector of the log; the log is a ring. */
static bool sector_view(struct log *log, uint64_t off, struct span *ret_bytes, struct error *error)
{
    off %= log->header->log_len;
    return cache_view(log->image->environment->cache, log->image->file, log->header->log_off + off, VHDX_LOG_SECTOR_LEN,
                      ret_bytes, error);
}

/* Sectors before the data: the entry's head and its descriptors. */
static uint64_t descriptor_sectors(uint32_t descriptor_count)
{
    return (sizeof(struct entry_disk) + (uint64_t)descriptor_count * sizeof(struct descriptor_disk) +
            VHDX_LOG_SECTOR_LEN - 1) /
           VHDX_LOG_SECTOR_LEN;
}

static bool checksum_fits(struct log *log, const struct entry *entry, uint32_t wanted, bool *ret_fits,
                          struct error *error)
{
    static const uint8_t zeros[4];
    uint32_t sum = 0;
    *ret_fits = false;
    if (entry->len > log->budget) {
        return error_set(error, ERROR_LIMIT, NULL, "log: too many entries overlap to be looked at");
    }
    log->budget -= entry->len;
    for (uint64_t off = 0; off < entry->len; off += VHDX_LOG_SECTOR_LEN) {
        struct span bytes;
        RETURN_IF_FAILED(sector_view(log, entry->off + off, &bytes, error));
        if (off == 0) {
            sum = crc32c(crc32c(0, (struct span){bytes.data, 4}), (struct span){zeros, sizeof(zeros)});
            bytes = (struct span){bytes.data + 8, bytes.len - 8};
        }
        sum = crc32c(sum, bytes);
    }
    *ret_fits = sum == wanted;
    return true;
}

/* An entry whose checksum fits was written as it is: what cannot be is no torn write. */
static bool entry_check(const struct log *log, const struct entry *entry, struct error *error)
{
    if (entry->tail_off % VHDX_LOG_SECTOR_LEN != 0 || entry->tail_off >= log->header->log_len || entry->sequence == 0 ||
        descriptor_sectors(entry->descriptor_count) > entry->len / VHDX_LOG_SECTOR_LEN) {
        return error_set(error, ERROR_MALFORMED, NULL, "log: entry %llu: tail 0x%x, %u descriptors in %u bytes",
                         (unsigned long long)entry->sequence, entry->tail_off, entry->descriptor_count, entry->len);
    }
    return true;
}

/* What stands at `off`: an entry of this log, whole, or something else. */
static bool entry_read(struct log *log, uint32_t off, bool *ret_is_entry, struct entry *ret_entry, struct error *error)
{
    struct span bytes;
    struct entry_disk disk;
    *ret_is_entry = false;
    RETURN_IF_FAILED(sector_view(log, off, &bytes, error));
    if (!span_copy(bytes, 0, &disk, sizeof(disk)) ||
        memcmp(disk.signature, entry_signature, sizeof(entry_signature)) != 0 ||
        !vhdx_guid_equal(&disk.log_id, &log->header->log_id)) {
        return true;
    }
    struct entry entry = {
        .off = off,
        .len = le32_get(disk.len),
        .tail_off = le32_get(disk.tail_off),
        .descriptor_count = le32_get(disk.descriptor_count),
        .sequence = le64_get(disk.sequence),
        .flushed_len = le64_get(disk.flushed_len),
        .last_len = le64_get(disk.last_len),
    };
    if (entry.len == 0 || entry.len % VHDX_LOG_SECTOR_LEN != 0 || entry.len > log->header->log_len) {
        return true;
    }
    *ret_entry = entry;
    RETURN_IF_FAILED(checksum_fits(log, &entry, le32_get(disk.checksum), ret_is_entry, error));
    return !*ret_is_entry || entry_check(log, &entry, error);
}

static uint32_t off_behind(const struct log *log, const struct entry *entry)
{
    return (uint32_t)(((uint64_t)entry->off + entry->len) % log->header->log_len);
}

/*
 * Follows the entries from `off` on, each with the next number, once around the log at most. *ret_head is the last one;
 * *ret_len the bytes of all, 0 for none. *ret_has_tail: where the last one says that replaying begins is one of them.
 */
static bool sequence_follow(struct log *log, uint32_t off, struct entry *ret_head, uint64_t *ret_len,
                            bool *ret_has_tail, struct error *error)
{
    struct entry entry;
    bool is_entry;
    *ret_len = 0;
    for (;;) { /* ends: entries have a length, and all together have the log's at most */
        RETURN_IF_FAILED(entry_read(log, off, &is_entry, &entry, error));
        if (!is_entry || (*ret_len > 0 && entry.sequence != ret_head->sequence + 1) ||
            entry.len > log->header->log_len - *ret_len) {
            break;
        }
        *ret_head = entry;
        *ret_len += entry.len;
        off = off_behind(log, &entry);
    }
    /* The tail is one of them if it is not before the first one, counted around the ring. */
    uint64_t first_off = off + log->header->log_len - *ret_len;
    *ret_has_tail =
        *ret_len > 0 &&
        (ret_head->tail_off + 2 * (uint64_t)log->header->log_len - first_off) % log->header->log_len < *ret_len;
    return true;
}

/* The active sequence (2.3.2): of all that are complete the one whose head has the highest number. */
static bool sequence_find(struct log *log, struct sequence *ret_sequence, struct error *error)
{
    struct sequence best = {.is_found = false};
    uint64_t len;
    for (uint64_t off = 0; off < log->header->log_len; off += max_u64(len, VHDX_LOG_SECTOR_LEN)) {
        struct entry head;
        bool has_tail;
        RETURN_IF_FAILED(sequence_follow(log, (uint32_t)off, &head, &len, &has_tail, error));
        if (has_tail && (!best.is_found || head.sequence > best.head.sequence)) {
            best = (struct sequence){.is_found = true, .tail_off = head.tail_off, .head = head};
        }
    }
    *ret_sequence = best;
    return true;
}

static bool descriptor_refused(const struct entry *entry, const char *what, struct error *error)
{
    return error_set(error, ERROR_MALFORMED, NULL, "log: entry %llu: %s", (unsigned long long)entry->sequence, what);
}

static bool descriptor_read(struct log *log, const struct entry *entry, uint32_t index,
                            struct descriptor_disk *ret_disk, struct error *error)
{
    struct span bytes;
    uint64_t place = index + (sizeof(struct entry_disk) / sizeof(struct descriptor_disk));
    RETURN_IF_FAILED(sector_view(log, entry->off + place / DESCRIPTORS_IN_SECTOR * VHDX_LOG_SECTOR_LEN, &bytes, error));
    if (!span_copy(bytes, place % DESCRIPTORS_IN_SECTOR * sizeof(*ret_disk), ret_disk, sizeof(*ret_disk)) ||
        le64_get(ret_disk->sequence) != entry->sequence) {
        return descriptor_refused(entry, "a descriptor of another entry", error);
    }
    return true;
}

/* The data sector that belongs to a descriptor; its number stands in it, too. */
static bool data_locate(struct log *log, const struct entry *entry, uint64_t sector, struct vhdx_patch *patch,
                        struct error *error)
{
    struct span bytes;
    struct sector_head_disk head;
    struct le32 sequence_low;
    if (sector >= entry->len / VHDX_LOG_SECTOR_LEN) {
        return descriptor_refused(entry, "more data than sectors", error);
    }
    uint64_t off = (entry->off + sector * VHDX_LOG_SECTOR_LEN) % log->header->log_len;
    RETURN_IF_FAILED(sector_view(log, off, &bytes, error));
    if (!span_copy(bytes, 0, &head, sizeof(head)) ||
        !span_copy(bytes, VHDX_LOG_SECTOR_LEN - sizeof(sequence_low), &sequence_low, sizeof(sequence_low)) ||
        memcmp(head.signature, sector_signature, sizeof(sector_signature)) != 0 ||
        ((uint64_t)le32_get(head.sequence_high) << 32 | le32_get(sequence_low)) != entry->sequence) {
        return descriptor_refused(entry, "a data sector of another entry", error);
    }
    patch->log_off = log->header->log_off + off;
    return true;
}

static bool descriptor_parse(const struct entry *entry, const struct descriptor_disk *disk,
                             struct vhdx_patch *ret_patch, struct error *error)
{
    struct vhdx_patch patch = {.off = le64_get(disk->file_off), .len = VHDX_LOG_SECTOR_LEN};
    if (memcmp(disk->signature, data_signature, sizeof(data_signature)) == 0) {
        patch.is_data = true;
        memcpy(patch.leading, disk->leading, sizeof(patch.leading));
        memcpy(patch.trailing, disk->trailing, sizeof(patch.trailing));
    } else if (memcmp(disk->signature, zero_signature, sizeof(zero_signature)) == 0) {
        patch.len = le64_get(disk->zero_len);
    } else {
        return descriptor_refused(entry, "a descriptor that is none", error);
    }
    if (patch.off % VHDX_LOG_SECTOR_LEN != 0 || patch.len % VHDX_LOG_SECTOR_LEN != 0 || patch.off < VHDX_MIB ||
        !range_is_within(patch.off, patch.len, INT64_MAX)) {
        return descriptor_refused(entry, "a descriptor of headers, or not of whole sectors", error);
    }
    *ret_patch = patch;
    return true;
}

static bool entry_replay(struct log *log, const struct entry *entry, struct vhdx_patches *patches, struct error *error)
{
    uint64_t sector = descriptor_sectors(entry->descriptor_count);
    for (uint32_t i = 0; i < entry->descriptor_count; i++) {
        struct descriptor_disk disk;
        struct vhdx_patch patch;
        RETURN_IF_FAILED(descriptor_read(log, entry, i, &disk, error));
        RETURN_IF_FAILED(descriptor_parse(entry, &disk, &patch, error));
        if (patch.is_data) {
            RETURN_IF_FAILED(data_locate(log, entry, sector++, &patch, error));
        }
        if (patch.len > 0 && !vhdx_patches_put(patches, &patch)) {
            return error_set(error, ERROR_LIMIT, NULL, "log: more than %u descriptors", VHDX_LOG_DESCRIPTORS_MAX);
        }
    }
    return true;
}

/* Each entry of the sequence; a first round counts descriptors (patches is NULL), the second one takes them. */
static bool sequence_replay(struct log *log, const struct sequence *sequence, struct vhdx_patches *patches,
                            uint32_t *ret_descriptor_count, struct error *error)
{
    struct entry entry = {0};
    uint64_t count = 0;
    uint64_t replayed_len = 0;
    for (uint32_t off = sequence->tail_off;; off = off_behind(log, &entry)) { /* ends: at the head, or an error */
        bool is_entry;
        RETURN_IF_FAILED(entry_read(log, off, &is_entry, &entry, error));
        replayed_len += is_entry ? entry.len : 0;
        count += is_entry ? entry.descriptor_count : 0;
        if (!is_entry || replayed_len > log->header->log_len || count > VHDX_LOG_DESCRIPTORS_MAX) {
            return error_set(error, ERROR_LIMIT, NULL, "log: more than %u descriptors, or not in order",
                             VHDX_LOG_DESCRIPTORS_MAX);
        }
        if (patches != NULL) {
            RETURN_IF_FAILED(entry_replay(log, &entry, patches, error));
        }
        if (entry.sequence == sequence->head.sequence) {
            *ret_descriptor_count = (uint32_t)count;
            return true;
        }
    }
}

bool vhdx_log_read(struct image *image, const struct vhdx_header *header, bool *ret_is_needed,
                   struct vhdx_patches *ret_patches, struct error *error)
{
    /* Every entry is looked at once to find the sequence, around the end twice, and twice to replay it. */
    struct log log = {.image = image, .header = header, .budget = 8 * (uint64_t)header->log_len};
    struct sequence sequence;
    uint32_t count;
    *ret_is_needed = false;
    if (vhdx_guid_is_zero(&header->log_id) || header->log_len == 0) {
        return true;
    }
    if (header->log_len > VHDX_LOG_LEN_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "log: longer than %u bytes", VHDX_LOG_LEN_MAX);
    }
    RETURN_IF_FAILED(sequence_find(&log, &sequence, error));
    if (!sequence.is_found) {
        return true;
    }
    if (sequence.head.flushed_len > image->file->len) {
        return error_set(error, ERROR_MALFORMED, NULL, "log: the file had %llu bytes, and has %llu",
                         (unsigned long long)sequence.head.flushed_len, (unsigned long long)image->file->len);
    }
    RETURN_IF_FAILED(sequence_replay(&log, &sequence, NULL, &count, error));
    struct vhdx_patches patches = {.count_max = vhdx_patches_room(count)};
    patches.patches = arena_allocate(image->environment->arena, patches.count_max * sizeof(struct vhdx_patch),
                                     _Alignof(struct vhdx_patch));
    if (patches.patches == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the log");
    }
    RETURN_IF_FAILED(sequence_replay(&log, &sequence, &patches, &count, error));
    patches.file_len = sequence.head.last_len;
    *ret_patches = patches;
    *ret_is_needed = true;
    return true;
}

uint32_t vhdx_log_entry_emit(const struct vhdx_log_entry *entry, uint8_t *ret_bytes)
{
    uint32_t len = (1 + entry->count) * VHDX_LOG_SECTOR_LEN;
    struct entry_disk head = {
        .len = le32_make(len),
        .sequence = le64_make(entry->sequence),
        .descriptor_count = le32_make(entry->count),
        .log_id = entry->log_id,
        .flushed_len = le64_make(entry->file_len),
        .last_len = le64_make(entry->file_len),
    };
    memcpy(head.signature, entry_signature, sizeof(entry_signature));
    memset(ret_bytes, 0, VHDX_LOG_SECTOR_LEN);
    for (uint32_t i = 0; i < entry->count; i++) {
        const uint8_t *page = entry->pages + (size_t)i * VHDX_LOG_SECTOR_LEN;
        uint8_t *sector = ret_bytes + (size_t)(1 + i) * VHDX_LOG_SECTOR_LEN;
        struct sector_head_disk sector_head = {.sequence_high = le32_make((uint32_t)(entry->sequence >> 32))};
        struct le32 sequence_low = le32_make((uint32_t)entry->sequence);
        struct descriptor_disk descriptor = {
            .file_off = le64_make(entry->offs[i]),
            .sequence = le64_make(entry->sequence),
        };
        memcpy(descriptor.signature, data_signature, sizeof(data_signature));
        memcpy(descriptor.leading, page, VHDX_LEADING_LEN);
        memcpy(descriptor.trailing, page + VHDX_LOG_SECTOR_LEN - VHDX_TRAILING_LEN, VHDX_TRAILING_LEN);
        memcpy(ret_bytes + sizeof(head) + i * sizeof(descriptor), &descriptor, sizeof(descriptor));
        memcpy(sector_head.signature, sector_signature, sizeof(sector_signature));
        memcpy(sector, page, VHDX_LOG_SECTOR_LEN);
        memcpy(sector, &sector_head, sizeof(sector_head));
        memcpy(sector + VHDX_LOG_SECTOR_LEN - sizeof(sequence_low), &sequence_low, sizeof(sequence_low));
    }
    memcpy(ret_bytes, &head, sizeof(head));
    vhdx_checksum_set(ret_bytes, len);
    return len;
}
_Static_assert(VHDX_LOG_ENTRY_PAGES_MAX <= DESCRIPTORS_IN_FIRST, "an entry's descriptors are in its first sector");
