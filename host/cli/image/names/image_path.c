/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/names/image_path.h"

#include <string.h>

bool image_path_has_protocol(struct span name)
{
    for (size_t i = 0; i < name.len && name.data[i] != '/'; i++) {
        if (name.data[i] == ':') {
            return true;
        }
    }
    return false;
}

bool image_path_beside(const char *base, struct span name, struct image_path *ret_path)
{
    size_t directory_len = 0;
    bool is_whole = name.len == 0 || name.data[0] == '/' || image_path_has_protocol(name);
    if (!is_whole) {
        if (strncmp(base, "json:", 5) == 0) { /* as QEMU: such a name leads nowhere */
            return false;
        }
        const char *slash = strrchr(base, '/');
        directory_len = slash != NULL ? (size_t)(slash - base) + 1 : 0;
    }
    if (directory_len > IMAGE_PATH_LEN_MAX || name.len > IMAGE_PATH_LEN_MAX - directory_len) {
        return false;
    }
    memcpy(ret_path->bytes, base, directory_len);
    memcpy(ret_path->bytes + directory_len, name.data, name.len);
    ret_path->len = directory_len + name.len;
    return true;
}
