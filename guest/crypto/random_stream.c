/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crypto/random_stream.h"

#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "guest/crypto/wipe.h"

void random_stream_init(struct random_stream *stream, struct span seed)
{
    *stream = (struct random_stream){0};
    memcpy(stream->seed, seed.data, min_u64(seed.len, sizeof(stream->seed)));
}

void random_stream_take(struct random_stream *stream, uint8_t *target, size_t len)
{
    const struct hash *hash = hash_find("sha512");
    uint8_t block[HASH_DIGEST_LEN_MAX];
    for (size_t off = 0; off < len; off += sizeof(block)) {
        struct be64 count = be64_make(stream->count++);
        hash_digest(hash, (struct span){stream->seed, sizeof(stream->seed)},
                    (struct span){(const uint8_t *)&count, sizeof(count)}, block);
        memcpy(target + off, block, min_u64(len - off, sizeof(block)));
    }
    wipe(block, sizeof(block));
}
