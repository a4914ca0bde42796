/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vmdk/vmdk_extents.h"

#include <string.h>

#include "base/text.h"
#include "guest/formats/vmdk/vmdk_cowd_header.h"
#include "guest/formats/vmdk/vmdk_sesparse_header.h"
#include "guest/formats/vmdk/vmdk_sparse_header.h"

/* Where the descriptor of a sparse file is, as QEMU has it whatever the header says. */
#define EMBEDDED_DESCRIPTOR_OFF 512u
#define FILE_LEN_MIN 4u

/* Longer streams than one may expand at once are nowhere (format.h). */
#define COMPRESSED_GRAIN_LEN_MAX FORMAT_CLUSTER_LEN_MAX

/* The types of images whose descriptor is a file of its own. QEMU has all but vmfsThin, which is as vmfs for a reader.
 */
static const char *const create_types[] = {
    "monolithicFlat", "vmfs", "vmfsThin", "vmfsSparse", "seSparse", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat",
};

static bool read_text(struct image *image, uint64_t off, uint64_t len, struct span *ret_text, struct error *error)
{
    uint64_t left_len = off < image->file->len ? image->file->len - off : 0;
    len = min_u64(len, left_len);
    uint8_t *bytes = arena_allocate(image->environment->arena, len + 1, 1);
    if (bytes == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the descriptor");
    }
    RETURN_IF_FAILED(cache_read(image->environment->cache, image->file, off, bytes, (size_t)len, error));
    *ret_text = vmdk_descriptor_text((struct span){bytes, (size_t)len});
    return true;
}

static bool is_sparse_file(const uint8_t magic[FILE_LEN_MIN])
{
    return memcmp(magic, VMDK_SPARSE_MAGIC, FILE_LEN_MIN) == 0 || memcmp(magic, VMDK_COWD_MAGIC, FILE_LEN_MIN) == 0;
}

bool vmdk_read_descriptor_head(struct image *image, struct span *ret_text, struct error *error)
{
    uint8_t magic[FILE_LEN_MIN];
    RETURN_IF_FAILED(cache_read(image->environment->cache, image->file, 0, magic, sizeof(magic), error));
    return read_text(image, is_sparse_file(magic) ? EMBEDDED_DESCRIPTOR_OFF : 0, VMDK_DESCRIPTOR_HEAD_LEN, ret_text,
                     error);
}

/* Puts an extent behind the others. There is memory for it. */
static bool add_extent(struct image *image, const struct vmdk_extent *extent, struct error *error)
{
    struct vmdk *vmdk = vmdk_of(image);
    struct vmdk_extent *added = &vmdk->extents[vmdk->extent_count++];
    *added = *extent;
    added->voff = image->virtual_len;
    if (!checked_add(image->virtual_len, extent->len, &image->virtual_len) || image->virtual_len > INT64_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "the extents are too large together");
    }
    return true;
}

static bool allocate_extents(struct image *image, uint32_t count, struct error *error)
{
    struct vmdk *vmdk = vmdk_of(image);
    vmdk->extents =
        arena_allocate(image->environment->arena, count * sizeof(*vmdk->extents), _Alignof(struct vmdk_extent));
    return vmdk->extents != NULL || error_set(error, ERROR_LIMIT, NULL, "no memory is left for %u extents", count);
}

/* The header that counts: in the footer, if there is one. */
static bool read_sparse_header(struct image *image, struct file *file, struct vmdk_sparse_header *ret_header,
                               struct error *error)
{
    struct cache *cache = image->environment->cache;
    uint8_t head[VMDK_SPARSE_HEADER_LEN];
    RETURN_IF_FAILED(cache_read(cache, file, 0, head, sizeof(head), error));
    if (!vmdk_sparse_header_parse((struct span){head, sizeof(head)}, ret_header)) {
        return error_set(error, ERROR_MALFORMED, NULL, "Image not in VMDK format");
    }
    if (ret_header->directory_sector != VMDK_DIRECTORY_AT_END) {
        return true;
    }
    uint8_t footer[VMDK_FOOTER_LEN];
    uint64_t file_len = round_up(file->len, VMDK_SECTOR_LEN); /* a file's length is INT64_MAX at most */
    if (file_len < sizeof(footer)) {
        return error_set(error, ERROR_MALFORMED, NULL, "Invalid footer");
    }
    RETURN_IF_FAILED(cache_read(cache, file, file_len - sizeof(footer), footer, sizeof(footer), error));
    return vmdk_footer_parse((struct span){footer, sizeof(footer)}, ret_header, error);
}

static bool check_compressed(const struct vmdk_tables *tables, struct error *error)
{
    return !tables->is_compressed || tables->grain_len <= COMPRESSED_GRAIN_LEN_MAX ||
           error_set(error, ERROR_UNSUPPORTED, NULL, "compressed grains of %u bytes are not supported",
                     tables->grain_len);
}

/* Adds a sparse extent, whose file has the header of one or the other kind. `extent`: what is known of it. */
static bool add_sparse(struct image *image, struct vmdk_extent *extent, struct error *error)
{
    struct file *file = extent->file;
    uint8_t head[VMDK_COWD_HEADER_LEN];
    if (file->len < FILE_LEN_MIN) {
        return error_set(error, ERROR_MALFORMED, NULL, "File is too small, not a valid image");
    }
    RETURN_IF_FAILED(cache_read(image->environment->cache, file, 0, head, sizeof(head), error));
    if (memcmp(head, VMDK_COWD_MAGIC, FILE_LEN_MIN) == 0) {
        RETURN_IF_FAILED(vmdk_cowd_header_parse((struct span){head, sizeof(head)}, &extent->tables, error));
    } else {
        struct vmdk_sparse_header header;
        RETURN_IF_FAILED(read_sparse_header(image, file, &header, error));
        RETURN_IF_FAILED(vmdk_sparse_header_check(&header, file->len, &extent->tables, error));
        RETURN_IF_FAILED(check_compressed(&extent->tables, error));
    }
    extent->kind = VMDK_KIND_SPARSE;
    extent->len = extent->tables.capacity_len;
    if (extent->tables.is_compressed) {
        text_copy(vmdk_of(image)->create_type, VMDK_CREATE_TYPE_LEN_MAX + 1, "streamOptimized");
    }
    return add_extent(image, extent, error);
}

static bool add_sesparse(struct image *image, struct vmdk_extent *extent, struct error *error)
{
    struct cache *cache = image->environment->cache;
    uint8_t head[VMDK_SESPARSE_HEADER_LEN];
    uint64_t volatile_off;
    RETURN_IF_FAILED(cache_read(cache, extent->file, 0, head, sizeof(head), error));
    RETURN_IF_FAILED(
        vmdk_sesparse_header_parse((struct span){head, sizeof(head)}, &extent->tables, &volatile_off, error));
    RETURN_IF_FAILED(cache_read(cache, extent->file, volatile_off, head, sizeof(head), error));
    RETURN_IF_FAILED(vmdk_sesparse_volatile_check((struct span){head, sizeof(head)}, error));
    extent->kind = VMDK_KIND_SPARSE;
    extent->len = extent->tables.capacity_len;
    return add_extent(image, extent, error);
}

/* The file of an extent line. One that the line before has, too, is the same: there are images of one file. */
static bool open_file(struct image *image, const struct vmdk_extent_line *line, struct span *last_name,
                      struct file **ret_file, struct error *error)
{
    const struct vmdk *vmdk = vmdk_of(image);
    if (last_name->len == line->name.len && memcmp(last_name->data, line->name.data, line->name.len) == 0) {
        *ret_file = vmdk->extents[vmdk->extent_count - 1].file;
        return true;
    }
    *last_name = line->name;
    return image->environment->open_file(image->environment, line->name, image->file, IMAGE_FILE_PART, ret_file, error);
}

static bool add_line(struct image *image, const struct vmdk_extent_line *line, struct span *last_name,
                     struct error *error)
{
    struct vmdk_extent extent = {
        .kind = VMDK_KIND_ZERO,
        .has_type = true,
        .type = line->type,
        .is_read_only = line->is_read_only,
        .len = line->sectors * VMDK_SECTOR_LEN,
        .flat_off = line->flat_off,
    };
    if (line->type == VMDK_EXTENT_ZERO || !line->has_access) {
        *last_name = (struct span){0};
        return add_extent(image, &extent, error);
    }
    RETURN_IF_FAILED(open_file(image, line, last_name, &extent.file, error));
    if (line->type != VMDK_EXTENT_FLAT && line->type != VMDK_EXTENT_VMFS) {
        image_tell_format(extent.file, "vmdk");
    }
    bool is_added;
    switch (line->type) {
    case VMDK_EXTENT_SPARSE:
    case VMDK_EXTENT_VMFSSPARSE:
        is_added = add_sparse(image, &extent, error);
        break;
    case VMDK_EXTENT_SESPARSE:
        is_added = add_sesparse(image, &extent, error);
        break;
    case VMDK_EXTENT_FLAT:
    case VMDK_EXTENT_VMFS:
    case VMDK_EXTENT_ZERO:
    default:
        extent.kind = VMDK_KIND_FLAT;
        is_added = add_extent(image, &extent, error);
        break;
    }
    if (!is_added) {
        error_add_place(error, extent.file->name);
    }
    return is_added;
}

static bool count_lines(struct span text, uint32_t *ret_count, struct error *error)
{
    uint32_t count = 0;
    size_t pos = 0;
    bool found = true;
    while (found) { /* ends: with the text, or VMDK_EXTENT_COUNT_MAX */
        struct vmdk_extent_line line;
        RETURN_IF_FAILED(vmdk_descriptor_next_extent(text, &pos, &found, &line, error));
        if (found && ++count > VMDK_EXTENT_COUNT_MAX) {
            return error_set(error, ERROR_UNSUPPORTED, NULL, "more than %u extents", VMDK_EXTENT_COUNT_MAX);
        }
    }
    *ret_count = count;
    return count > 0 || error_set(error, ERROR_MALFORMED, NULL, "the descriptor has no extent");
}

static bool set_create_type(struct vmdk *vmdk, struct span text, struct error *error)
{
    struct span type;
    if (!vmdk_descriptor_create_type(text, &type)) {
        return error_set(error, ERROR_MALFORMED, NULL, "invalid VMDK image descriptor");
    }
    for (size_t i = 0; i < ARRAY_COUNT(create_types); i++) {
        if (strlen(create_types[i]) == type.len && memcmp(create_types[i], type.data, type.len) == 0) {
            text_copy(vmdk->create_type, sizeof(vmdk->create_type), create_types[i]);
            return true;
        }
    }
    return error_set(error, ERROR_UNSUPPORTED, NULL, "Unsupported image type (createType of the descriptor)");
}

static bool open_descriptor(struct image *image, uint64_t off, struct error *error)
{
    struct span text;
    uint32_t count;
    RETURN_IF_FAILED(read_text(image, off, VMDK_DESCRIPTOR_LEN_MAX, &text, error));
    RETURN_IF_FAILED(set_create_type(vmdk_of(image), text, error));
    RETURN_IF_FAILED(count_lines(text, &count, error));
    RETURN_IF_FAILED(allocate_extents(image, count, error));
    struct span last_name = {0};
    size_t pos = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct vmdk_extent_line line;
        bool found;
        RETURN_IF_FAILED(vmdk_descriptor_next_extent(text, &pos, &found, &line, error));
        RETURN_IF_FAILED(add_line(image, &line, &last_name, error));
    }
    return true;
}

/* The file is the extent; or it has only a descriptor, behind a header that says so. */
static bool open_monolith(struct image *image, struct error *error)
{
    uint8_t head[VMDK_SPARSE_HEADER_LEN];
    struct vmdk_sparse_header header;
    RETURN_IF_FAILED(cache_read(image->environment->cache, image->file, 0, head, sizeof(head), error));
    if (vmdk_sparse_header_parse((struct span){head, sizeof(head)}, &header) && header.capacity_sectors == 0 &&
        header.descriptor_sector != 0) {
        uint64_t off;
        return vmdk_sectors_len(header.descriptor_sector, &off)
                   ? open_descriptor(image, off, error)
                   : error_set(error, ERROR_MALFORMED, NULL, "the descriptor at sector %llu cannot be there",
                               (unsigned long long)header.descriptor_sector);
    }
    struct vmdk_extent extent = {.file = image->file};
    text_copy(vmdk_of(image)->create_type, VMDK_CREATE_TYPE_LEN_MAX + 1, "monolithicSparse");
    return allocate_extents(image, 1, error) && add_sparse(image, &extent, error);
}

static bool are_alike(const struct vmdk_extent *a, const struct vmdk_extent *b)
{
    return a->kind == b->kind && a->tables.is_compressed == b->tables.is_compressed &&
           a->tables.grain_len == b->tables.grain_len;
}

/* What info tells of clusters and storage: no cluster length where extents with files differ, as QEMU's driver does. */
static void set_lengths(struct image *image)
{
    const struct vmdk *vmdk = vmdk_of(image);
    const struct vmdk_extent *first = NULL;
    bool is_alike = true;
    uint64_t further_len = 0;
    for (uint32_t i = 0; i < vmdk->extent_count; i++) {
        const struct vmdk_extent *extent = &vmdk->extents[i];
        if (extent->kind == VMDK_KIND_ZERO) {
            continue;
        }
        first = first != NULL ? first : extent;
        is_alike = is_alike && are_alike(first, extent);
        if (extent->file != image->file && !checked_add(further_len, extent->file->allocated_len, &further_len)) {
            further_len = UINT64_MAX; /* one that is not known, too */
        }
        if (extent->tables.is_compressed) {
            image->unit_len_max = (uint32_t)max_u64(image->unit_len_max, extent->tables.grain_len);
        }
    }
    image->further_allocated_len = further_len;
    image->cluster_len = is_alike && first != NULL ? first->tables.grain_len : 0;
    image->has_dirty_flag = is_alike;
}

bool vmdk_extents_open(struct image *image, struct error *error)
{
    uint8_t magic[FILE_LEN_MIN];
    if (image->file->len < FILE_LEN_MIN) {
        return error_set(error, ERROR_MALFORMED, NULL, "File is too small, not a valid image");
    }
    RETURN_IF_FAILED(cache_read(image->environment->cache, image->file, 0, magic, sizeof(magic), error));
    RETURN_IF_FAILED(is_sparse_file(magic) ? open_monolith(image, error) : open_descriptor(image, 0, error));
    set_lengths(image);
    return true;
}
