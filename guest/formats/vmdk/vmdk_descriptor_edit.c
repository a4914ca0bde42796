/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vmdk/vmdk_descriptor_edit.h"

#include <stdio.h>
#include <string.h>

#define CID_DIGITS_MAX 8u
#define NUMBER_LEN_MAX 24u

bool vmdk_descriptor_edit_begin(struct vmdk_descriptor_edit *edit, uint8_t *bytes, size_t room)
{
    struct span text = vmdk_descriptor_text((struct span){bytes, room});
    *edit = (struct vmdk_descriptor_edit){bytes, text.len, room};
    memset(bytes + text.len, 0, room - text.len);
    return text.len < room;
}

static struct span text_of(const struct vmdk_descriptor_edit *edit)
{
    return (struct span){edit->bytes, edit->len};
}

/* Where the line begins that begins with `key`; false when there is none. */
static bool find_line(const struct vmdk_descriptor_edit *edit, const char *key, size_t *ret_pos)
{
    size_t key_len = strlen(key);
    for (size_t pos = 0; pos + key_len <= edit->len; pos++) {
        if (memcmp(edit->bytes + pos, key, key_len) == 0 && (pos == 0 || edit->bytes[pos - 1] == '\n')) {
            *ret_pos = pos;
            return true;
        }
    }
    return false;
}

/* From `pos` to before the first byte that is one of `ends`, or the text's end. */
static size_t len_until(const struct vmdk_descriptor_edit *edit, size_t pos, const char *ends)
{
    size_t end = pos;
    while (end < edit->len && strchr(ends, edit->bytes[end]) == NULL) { /* ends with the text, which has no zeros */
        end++;
    }
    return end - pos;
}

/* `old_len` bytes at `pos` of the text become others. False when there is no room. */
static bool replace(struct vmdk_descriptor_edit *edit, size_t pos, size_t old_len, const void *bytes, size_t len)
{
    size_t rest_len = edit->len - pos - old_len;
    if (edit->len - old_len + len >= edit->room) {
        return false;
    }
    memmove(edit->bytes + pos + len, edit->bytes + pos + old_len, rest_len);
    memcpy(edit->bytes + pos, bytes, len);
    edit->len = pos + len + rest_len;
    memset(edit->bytes + edit->len, 0, edit->room - edit->len);
    return true;
}

static bool is_hex_digit(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

/* Another one, of as many digits: any will do but the one that says that there is none. */
static uint32_t next_cid(uint32_t cid, size_t digit_count)
{
    uint32_t mask = digit_count == CID_DIGITS_MAX ? UINT32_MAX : (1u << 4 * digit_count) - 1;
    uint32_t next = (cid * 0x9e3779b1u + 0x7f4a7c15u) & mask;
    return next == cid || next == VMDK_CID_NONE ? (next ^ 1u) & mask : next;
}

bool vmdk_descriptor_edit_cid(struct vmdk_descriptor_edit *edit, uint32_t cid, uint32_t *ret_cid, size_t *ret_pos,
                              size_t *ret_len)
{
    static const char key[] = "CID=";
    static const char digits[] = "0123456789abcdef";
    size_t pos;
    size_t count = 0;
    if (!find_line(edit, key, &pos)) {
        return false;
    }
    pos += strlen(key);
    while (pos + count < edit->len && count < CID_DIGITS_MAX && is_hex_digit(edit->bytes[pos + count])) {
        count++;
    }
    if (count == 0) {
        return false;
    }
    uint32_t next = next_cid(cid, count);
    for (size_t i = 0; i < count; i++) {
        edit->bytes[pos + i] = (uint8_t)digits[next >> (4 * (count - 1 - i)) & 15];
    }
    *ret_cid = next;
    *ret_pos = pos;
    *ret_len = count;
    return true;
}

/* The text that any reader would take for the parent. */
static bool has_parent(const struct vmdk_descriptor_edit *edit, uint32_t parent_cid, struct span name)
{
    struct span found;
    uint32_t cid;
    return vmdk_descriptor_parent_cid(text_of(edit), &cid) && cid == parent_cid &&
           vmdk_descriptor_parent(text_of(edit), &found) && found.len == name.len &&
           (name.len == 0 || memcmp(found.data, name.data, name.len) == 0);
}

bool vmdk_descriptor_edit_parent(struct vmdk_descriptor_edit *edit, uint32_t parent_cid, struct span name)
{
    static const char cid_key[] = "parentCID=";
    static const char name_key[] = "parentFileNameHint=\"";
    char cid[NUMBER_LEN_MAX];
    size_t pos;
    int cid_len = snprintf(cid, sizeof(cid), "%08x", parent_cid);
    if (!find_line(edit, cid_key, &pos)) {
        return false;
    }
    pos += strlen(cid_key);
    if (!replace(edit, pos, len_until(edit, pos, "\r\n"), cid, (size_t)cid_len)) {
        return false;
    }
    if (find_line(edit, name_key, &pos)) {
        size_t line_len = len_until(edit, pos, "\n");
        if (!replace(edit, pos, line_len + (pos + line_len < edit->len ? 1 : 0), "", 0)) {
            return false;
        }
    } else {
        if (!find_line(edit, "createType=", &pos)) {
            return false;
        }
        pos += len_until(edit, pos, "\n");
        pos += pos < edit->len ? 1 : 0;
    }
    if (name.len > 0 && !(replace(edit, pos, 0, "\"\n", 2) && replace(edit, pos, 0, name.data, name.len) &&
                          replace(edit, pos, 0, name_key, strlen(name_key)))) {
        return false;
    }
    return has_parent(edit, parent_cid, name);
}

/* The decimal number at `pos` becomes another one. */
static bool replace_number(struct vmdk_descriptor_edit *edit, size_t pos, uint64_t value)
{
    char text[NUMBER_LEN_MAX];
    size_t old_len = 0;
    int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    while (pos + old_len < edit->len && edit->bytes[pos + old_len] >= '0' && edit->bytes[pos + old_len] <= '9') {
        old_len++;
    }
    return old_len > 0 && replace(edit, pos, old_len, text, (size_t)len);
}

/* The number in quotation marks behind `key`, at the start of a line; 0: there is none. */
static uint64_t quoted_number(const struct vmdk_descriptor_edit *edit, const char *key, size_t *ret_pos)
{
    size_t pos;
    uint64_t value = 0;
    if (!find_line(edit, key, &pos)) {
        return 0;
    }
    pos += len_until(edit, pos, "\"\n") + 1;
    *ret_pos = pos;
    while (pos < edit->len && edit->bytes[pos] >= '0' && edit->bytes[pos] <= '9' && value < UINT32_MAX) {
        value = value * 10 + (edit->bytes[pos++] - (uint64_t)'0');
    }
    return value;
}

/* What old systems see of the disk: as many cylinders as it has, of the heads and sectors that it has had. */
static bool edit_cylinders(struct vmdk_descriptor_edit *edit, uint64_t sectors)
{
    size_t pos = 0;
    size_t cylinders_pos = 0;
    uint64_t heads = quoted_number(edit, "ddb.geometry.heads", &pos);
    uint64_t track_sectors = quoted_number(edit, "ddb.geometry.sectors", &pos);
    (void)quoted_number(edit, "ddb.geometry.cylinders", &cylinders_pos);
    if (heads == 0 || track_sectors == 0 || cylinders_pos == 0) {
        return true;
    }
    return replace_number(edit, cylinders_pos, sectors / (heads * track_sectors));
}

/* The line of extent `index`, and where it begins. */
static bool find_extent(const struct vmdk_descriptor_edit *edit, uint32_t index, struct vmdk_extent_line *ret_line,
                        size_t *ret_pos)
{
    struct error ignored = {0};
    size_t at = 0;
    bool found = true;
    for (uint32_t i = 0; i <= index && found; i++) {
        if (!vmdk_descriptor_next_extent(text_of(edit), &at, &found, ret_line, &ignored)) {
            return false;
        }
    }
    size_t pos = at > 0 && edit->bytes[at - 1] == '\n' ? at - 1 : at;
    while (pos > 0 && edit->bytes[pos - 1] != '\n') { /* ends with the text's start */
        pos--;
    }
    *ret_pos = pos;
    return found;
}

bool vmdk_descriptor_edit_extent(struct vmdk_descriptor_edit *edit, uint32_t index, uint64_t sectors,
                                 uint64_t disk_sectors)
{
    static const char access[] = "RW ";
    struct vmdk_extent_line line;
    size_t access_len = strlen(access);
    size_t pos;
    return find_extent(edit, index, &line, &pos) && edit->len - pos >= access_len &&
           memcmp(edit->bytes + pos, access, access_len) == 0 && replace_number(edit, pos + access_len, sectors) &&
           edit_cylinders(edit, disk_sectors) && find_extent(edit, index, &line, &pos) && line.sectors == sectors;
}

bool vmdk_descriptor_edit_add(struct vmdk_descriptor_edit *edit, uint32_t index, struct span lines, uint32_t count)
{
    struct vmdk_extent_line line;
    size_t pos;
    if (!find_extent(edit, index, &line, &pos)) {
        return false;
    }
    pos += len_until(edit, pos, "\n");
    if (pos == edit->len && !replace(edit, pos, 0, "\n", 1)) {
        return false;
    }
    return replace(edit, pos + 1, 0, lines.data, lines.len) && find_extent(edit, index + count, &line, &pos) &&
           !find_extent(edit, index + count + 1, &line, &pos);
}

bool vmdk_descriptor_edit_sectors(struct vmdk_descriptor_edit *edit, uint64_t sectors)
{
    return vmdk_descriptor_edit_extent(edit, 0, sectors, sectors);
}
