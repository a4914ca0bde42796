/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/open/qcow2_extensions.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/text.h"
#include "guest/runtime/messages.h"

struct crypto_header_disk {
    struct be64 offset;
    struct be64 length;
};

struct feature_name_disk {
    uint8_t type; /* 0: incompatible */
    uint8_t bit;
    char name[46];
};

_Static_assert(sizeof(struct feature_name_disk) == 48, "section Feature name table");

/* Where the extensions are: from the header to the backing file's name, or to the end of the first cluster. */
struct extension_walk {
    struct image *image;
    uint64_t off; /* bytes in the file */
    uint64_t end_off;
};

/* One extension: its data are `len` bytes at `off`, within the area. */
struct extension {
    uint32_t type;
    uint32_t len;
    uint64_t off;
};

static struct extension_walk extension_walk_begin(struct image *image, const struct qcow2_header *header)
{
    return (struct extension_walk){
        .image = image,
        .off = header->header_len,
        .end_off = header->backing_name_off != 0 ? header->backing_name_off : header->cluster_len,
    };
}

static bool extension_read(const struct extension_walk *walk, uint64_t off, void *target, size_t len,
                           struct error *error)
{
    return cache_read(walk->image->environment->cache, walk->image->file, off, target, len, error);
}

/* The next one; QCOW2_EXTENSION_END where the area ends. Each call goes at least 8 bytes on, in one cluster. */
static bool extension_next(struct extension_walk *walk, struct extension *ret_extension, struct error *error)
{
    struct extension extension = {.type = QCOW2_EXTENSION_END};
    if (walk->off < walk->end_off) {
        struct qcow2_extension_disk head;
        RETURN_IF_FAILED(extension_read(walk, walk->off, &head, sizeof(head), error));
        extension.type = be32_get(head.type);
        extension.len = be32_get(head.len);
        extension.off = walk->off + sizeof(head);
        if (extension.off > walk->end_off || extension.len > walk->end_off - extension.off) {
            return error_set(error, ERROR_MALFORMED, NULL, "Header extension too large");
        }
        walk->off = round_up(extension.off + extension.len, 8);
    }
    *ret_extension = extension;
    return true;
}

static bool read_backing_format(const struct extension_walk *walk, const struct extension *extension,
                                struct qcow2_extensions *extensions, struct error *error)
{
    if (extension->len > QCOW2_BACKING_FORMAT_LEN_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "ERROR: ext_backing_format: len=%u too large (>=%u)",
                         extension->len, QCOW2_BACKING_FORMAT_LEN_MAX + 1);
    }
    memset(extensions->backing_format, 0, sizeof(extensions->backing_format));
    return extension_read(walk, extension->off, extensions->backing_format, extension->len, error);
}

static bool read_data_file_name(const struct extension_walk *walk, const struct extension *extension,
                                struct qcow2_extensions *extensions, struct error *error)
{
    struct file_name *name = &extensions->data_file_name;
    if (extension->len > sizeof(name->bytes)) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "the name of the data file has %u bytes, more than %u",
                         extension->len, FILE_NAME_LEN_MAX);
    }
    RETURN_IF_FAILED(extension_read(walk, extension->off, name->bytes, extension->len, error));
    /* As in QEMU, a NUL ends it. */
    name->len = (uint16_t)strnlen((const char *)name->bytes, extension->len);
    name->is_set = true;
    return true;
}

static bool read_crypto_header(const struct extension_walk *walk, const struct extension *extension,
                               const struct qcow2_header *header, struct qcow2_extensions *extensions,
                               struct error *error)
{
    struct crypto_header_disk disk;
    if (header->crypt_method != QCOW2_CRYPT_LUKS) {
        return error_set(error, ERROR_MALFORMED, NULL,
                         "CRYPTO header extension only expected with LUKS encryption method");
    }
    if (extension->len != sizeof(disk)) {
        return error_set(error, ERROR_MALFORMED, NULL, "CRYPTO header extension size %u, but expected size %zu",
                         extension->len, sizeof(disk));
    }
    RETURN_IF_FAILED(extension_read(walk, extension->off, &disk, sizeof(disk), error));
    extensions->has_crypto_header = true;
    extensions->crypto_header_off = be64_get(disk.offset);
    extensions->crypto_header_len = be64_get(disk.length);
    if (extensions->crypto_header_off % header->cluster_len != 0) {
        return error_set(error, ERROR_MALFORMED, NULL,
                         "Encryption header offset '%llu' is not a multiple of cluster size '%u'",
                         (unsigned long long)extensions->crypto_header_off, header->cluster_len);
    }
    return true;
}

/* What a program that does not know of bitmaps has written to makes them stale (autoclear features). */
static void warn_of_stale_bitmaps(const struct image *image, const struct qcow2_header *header)
{
    static instar_GuestMessage message; /* large */
    message = (instar_GuestMessage){.which_kind = instar_GuestMessage_warning_tag};
    message.kind.warning.device = image->file->device;
    char *text = message.kind.warning.text;
    size_t text_len = sizeof(message.kind.warning.text);
    if (header->version < 3) {
        text_copy(text, text_len,
                  "This qcow2 v2 image contains bitmaps, but they may have been modified by a program without "
                  "persistent bitmap support; so now they must all be considered inconsistent");
    } else {
        text_copy(text, text_len,
                  "a program lacking bitmap support modified this file, so all bitmaps are now considered "
                  "inconsistent");
    }
    messages_post(&message);
}

static bool read_bitmaps(const struct extension_walk *walk, const struct extension *extension,
                         const struct qcow2_header *header, struct qcow2_extensions *extensions, struct error *error)
{
    struct qcow2_bitmaps_extension_disk disk;
    if (extension->len != sizeof(disk)) {
        return error_set(error, ERROR_MALFORMED, NULL, "bitmaps_ext: Invalid extension length");
    }
    if ((header->autoclear_features & QCOW2_AUTOCLEAR_BITMAPS) == 0) {
        extensions->has_stale_bitmaps = true;
        return true;
    }
    RETURN_IF_FAILED(extension_read(walk, extension->off, &disk, sizeof(disk), error));
    uint32_t count = be32_get(disk.nb_bitmaps);
    uint64_t off = be64_get(disk.directory_offset);
    uint64_t len = be64_get(disk.directory_size);
    if (be32_get(disk.reserved) != 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "bitmaps_ext: Reserved field is not zero");
    }
    if (count > QCOW2_BITMAP_COUNT_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "bitmaps_ext: Image has %u bitmaps, exceeding the QEMU supported maximum of %u", count,
                         QCOW2_BITMAP_COUNT_MAX);
    }
    if (count == 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "found bitmaps extension with zero bitmaps");
    }
    if (off % header->cluster_len != 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "bitmaps_ext: invalid bitmap directory offset");
    }
    if (len > QCOW2_BITMAP_DIRECTORY_LEN_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "bitmaps_ext: bitmap directory size (%llu) exceeds the maximum supported size (%llu)",
                         (unsigned long long)len, (unsigned long long)QCOW2_BITMAP_DIRECTORY_LEN_MAX);
    }
    extensions->bitmap_count = count;
    extensions->bitmap_directory_off = off;
    extensions->bitmap_directory_len = len;
    return true;
}

/* Without the feature, it is what somebody who made a whole image of the part has left. */
static bool read_shard(const struct extension_walk *walk, const struct extension *extension,
                       const struct qcow2_header *header, struct qcow2_extensions *extensions, struct error *error)
{
    struct qcow2_shard_disk disk;
    struct shard *shard = &extensions->shard;
    if ((header->incompatible_features & QCOW2_INCOMPATIBLE_SHARD) == 0) {
        return true;
    }
    if (extension->len != sizeof(disk)) {
        return error_set(error, ERROR_MALFORMED, NULL, "which part of an image it is has %u bytes, and not %zu",
                         extension->len, sizeof(disk));
    }
    RETURN_IF_FAILED(extension_read(walk, extension->off, &disk, sizeof(disk), error));
    *shard = (struct shard){
        .number = be32_get(disk.number),
        .count = be32_get(disk.count),
        .sparse_len = be32_get(disk.sparse_len),
        .is_compressed = (be32_get(disk.flags) & QCOW2_SHARD_COMPRESSED) != 0,
    };
    memcpy(shard->source, disk.source, sizeof(shard->source));
    if (shard->number == 0 || shard->number > shard->count || (be32_get(disk.flags) & ~QCOW2_SHARD_COMPRESSED) != 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "there is no part %u of %u with flags %#x", shard->number,
                         shard->count, be32_get(disk.flags));
    }
    extensions->has_shard = true;
    return true;
}

bool qcow2_extensions_read(struct image *image, const struct qcow2_header *header,
                           struct qcow2_extensions *ret_extensions, struct error *error)
{
    struct qcow2_extensions extensions = {0};
    struct extension_walk walk = extension_walk_begin(image, header);
    struct extension extension;
    do { /* ends: extension_next goes on, up to the end of a cluster */
        RETURN_IF_FAILED(extension_next(&walk, &extension, error));
        switch (extension.type) {
        case QCOW2_EXTENSION_BACKING_FORMAT:
            RETURN_IF_FAILED(read_backing_format(&walk, &extension, &extensions, error));
            break;
        case QCOW2_EXTENSION_DATA_FILE:
            RETURN_IF_FAILED(read_data_file_name(&walk, &extension, &extensions, error));
            break;
        case QCOW2_EXTENSION_CRYPTO_HEADER:
            RETURN_IF_FAILED(read_crypto_header(&walk, &extension, header, &extensions, error));
            break;
        case QCOW2_EXTENSION_BITMAPS:
            RETURN_IF_FAILED(read_bitmaps(&walk, &extension, header, &extensions, error));
            break;
        case QCOW2_EXTENSION_SHARD:
            RETURN_IF_FAILED(read_shard(&walk, &extension, header, &extensions, error));
            break;
        default: /* unknown ones are skipped */
            break;
        }
    } while (extension.type != QCOW2_EXTENSION_END);
    if (extensions.has_stale_bitmaps) {
        warn_of_stale_bitmaps(image, header);
    }
    *ret_extensions = extensions;
    return true;
}

/* The part of an error that names features. Cut when it gets too long. */
struct feature_names {
    char text[ERROR_DETAIL_LEN];
    size_t len;
};

static void feature_names_add(struct feature_names *names, const char *name, size_t name_len)
{
    int written = snprintf(names->text + names->len, sizeof(names->text) - names->len, "%s%.*s",
                           names->len > 0 ? ", " : "", (int)name_len, name);
    if (written > 0) {
        names->len = min_u64(names->len + (size_t)written, sizeof(names->text) - 1);
    }
}

/* Adds the names of those of the `features` that the table has; the rest of them is the result. */
static bool add_from_table(const struct extension_walk *walk, const struct extension *table, uint64_t features,
                           struct feature_names *names, uint64_t *ret_features, struct error *error)
{
    struct feature_name_disk entry;
    for (uint64_t pos = 0; pos + sizeof(entry) <= table->len; pos += sizeof(entry)) {
        RETURN_IF_FAILED(extension_read(walk, table->off + pos, &entry, sizeof(entry), error));
        if (entry.name[0] == '\0') {
            break;
        }
        if (entry.type == 0 && entry.bit < 64 && (features >> entry.bit & 1) != 0) {
            feature_names_add(names, entry.name, strnlen(entry.name, sizeof(entry.name)));
            features &= ~(1ull << entry.bit);
        }
    }
    *ret_features = features;
    return true;
}

bool qcow2_features_check(struct image *image, const struct qcow2_header *header, struct error *error)
{
    uint64_t known = QCOW2_INCOMPATIBLE_KNOWN | (image->takes_shard ? QCOW2_INCOMPATIBLE_SHARD : 0);
    uint64_t features = header->incompatible_features & ~known;
    if (features == 0) {
        return true;
    }
    struct feature_names names = {.text = ""};
    struct extension_walk walk = extension_walk_begin(image, header);
    struct extension extension;
    struct extension table = {.len = 0};
    struct error ignored = {0}; /* whatever else is wrong: the features are what the user is told about */
    while (extension_next(&walk, &extension, &ignored) && extension.type != QCOW2_EXTENSION_END) { /* ends: as above */
        if (extension.type == QCOW2_EXTENSION_FEATURE_NAMES) {
            table = extension;
        }
    }
    RETURN_IF_FAILED(add_from_table(&walk, &table, features, &names, &features, error));
    if (features != 0) {
        char rest[64];
        int len = snprintf(rest, sizeof(rest), "Unknown incompatible feature: %llx", (unsigned long long)features);
        feature_names_add(&names, rest, len > 0 ? (size_t)len : 0);
    }
    return error_set(error, ERROR_UNSUPPORTED, NULL, "Unsupported qcow2 feature(s): %s", names.text);
}
