/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/luks/luks.h"

#include "base/checked.h"
#include "guest/crypto/image_cipher.h"
#include "guest/crypto/luks_amend.h"
#include "guest/formats/luks/luks2.h"
#include "guest/formats/luks/luks_target.h"
#include "guest/image/detail.h"
#include "guest/image/format_open.h"
#include "guest/image/image.h"
#include "guest/image/image_file.h"

static int luks_probe(struct span head, struct span name)
{
    (void)name;
    return luks_header_probe(head) ? 100 : 0;
}

static bool read_header(struct image *image, struct luks_header *ret_luks, struct error *error)
{
    uint8_t bytes[LUKS_HEADER_LEN];
    RETURN_IF_FAILED(cache_read(image->environment->cache, luks_header_file(image), 0, bytes, sizeof(bytes), error));
    return luks_header_parse((struct span){bytes, sizeof(bytes)}, image->header_file != NULL, ret_luks, error);
}

static bool open_version_1(struct image *image, struct luks_header **ret_header, struct error *error)
{
    struct luks_header *header =
        arena_allocate(image->environment->arena, sizeof(*header), _Alignof(struct luks_header));
    if (header == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the image");
    }
    RETURN_IF_FAILED(read_header(image, header, error));
    if (image->purpose != IMAGE_TO_DESCRIBE) {
        const struct luks_place place = {.file = luks_header_file(image)};
        RETURN_IF_FAILED(image_cipher_open_luks(image, header, &place, "", error));
    }
    /* As QEMU has it, a file ends with a whole sector. */
    uint64_t file_len;
    if (!checked_round_up(image->file->len, LUKS_SECTOR_LEN, &file_len) || header->payload_off > file_len) {
        return error_set(error, ERROR_MALFORMED, NULL, "Could not refresh total sector count: Input/output error");
    }
    image->virtual_len = file_len - header->payload_off;
    *ret_header = header;
    return true;
}

static bool luks_open(struct image *image, struct error *error)
{
    struct luks *luks;
    bool is_version_2;
    image->is_encrypted = true;
    RETURN_IF_FAILED(image->purpose == IMAGE_TO_DESCRIBE || image_key_check(&image->key, "", error));
    RETURN_IF_FAILED(format_open_state(image, sizeof(*luks), (void **)&luks, error));
    RETURN_IF_FAILED(luks2_find(image, &is_version_2, error));
    RETURN_IF_FAILED(is_version_2 ? luks2_open(image, &luks->luks2, error)
                                  : open_version_1(image, &luks->header, error));
    /* As QEMU has it, which asks the file; one that is no image says that it is not dirty. */
    const struct image *below = image_file_image(image->file);
    image->has_dirty_flag = below == NULL || below->has_dirty_flag;
    image->is_dirty = below != NULL && below->is_dirty;
    image->cluster_len = below != NULL ? below->cluster_len : 0;
    return true;
}

static bool luks_describe(struct image *image, struct error *error)
{
    const struct luks *luks = image->state;
    (void)error;
    detail_object("format-specific");
    detail_word("type", "luks");
    detail_object("data");
    if (luks->luks2 != NULL) {
        luks2_describe(luks->luks2);
    } else {
        luks_header_describe(luks->header, NULL);
    }
    detail_end();
    detail_end();
    return true;
}

static bool luks_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error)
{
    const struct luks *luks = image->state;
    (void)error;
    if (luks->luks2 != NULL) {
        luks2_map(luks->luks2, voff, len, ret_extent);
        return true;
    }
    *ret_extent = (struct extent){.voff = voff,
                                  .len = len,
                                  .kind = EXTENT_ENCRYPTED,
                                  .has_file_off = true,
                                  .file_off = luks->header->payload_off + voff,
                                  .cipher_off = voff,
                                  .file = image->file};
    return true;
}

static bool luks_amend_slots(struct image *image, const struct amend_plan *plan, struct error *error)
{
    const struct luks *luks = image->state;
    const struct luks_place place = {.file = luks_header_file(image)};
    RETURN_IF_FAILED(luks_check_version(luks, error));
    return luks_amend(image, luks->header, &place, plan, "", error);
}

const struct format luks_format = {
    .name = "luks",
    .is_opaque = true,
    .probe = luks_probe,
    .open = luks_open,
    .map = luks_map,
    .describe = luks_describe,
    .measure = luks_measure,
    .create = luks_create,
    .open_target = luks_open_target,
    .resize = luks_resize,
    .amend = luks_amend_slots,
};
