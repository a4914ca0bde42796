/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers as they lie in files and on wires: arrays of bytes, so that reading one without its getter does
 * not compile, and neither alignment nor byte order can be forgotten. Written without loops: gcc turns each
 * getter into one load.
 */
#ifndef INSTAR_BASE_ENDIAN_H
#define INSTAR_BASE_ENDIAN_H

#include <stdint.h>

struct le16 {
    uint8_t b[2];
};

struct le32 {
    uint8_t b[4];
};

struct le64 {
    uint8_t b[8];
};

struct be16 {
    uint8_t b[2];
};

struct be32 {
    uint8_t b[4];
};

struct be64 {
    uint8_t b[8];
};

static inline uint16_t le16_get(struct le16 v)
{
    return (uint16_t)(v.b[0] | v.b[1] << 8);
}

static inline uint32_t le32_get(struct le32 v)
{
    return (uint32_t)v.b[0] | (uint32_t)v.b[1] << 8 | (uint32_t)v.b[2] << 16 | (uint32_t)v.b[3] << 24;
}

static inline uint64_t le64_get(struct le64 v)
{
    return (uint64_t)v.b[0] | (uint64_t)v.b[1] << 8 | (uint64_t)v.b[2] << 16 | (uint64_t)v.b[3] << 24 |
           (uint64_t)v.b[4] << 32 | (uint64_t)v.b[5] << 40 | (uint64_t)v.b[6] << 48 | (uint64_t)v.b[7] << 56;
}

static inline uint16_t be16_get(struct be16 v)
{
    return (uint16_t)(v.b[0] << 8 | v.b[1]);
}

static inline uint32_t be32_get(struct be32 v)
{
    return (uint32_t)v.b[0] << 24 | (uint32_t)v.b[1] << 16 | (uint32_t)v.b[2] << 8 | (uint32_t)v.b[3];
}

static inline uint64_t be64_get(struct be64 v)
{
    return (uint64_t)v.b[0] << 56 | (uint64_t)v.b[1] << 48 | (uint64_t)v.b[2] << 40 | (uint64_t)v.b[3] << 32 |
           (uint64_t)v.b[4] << 24 | (uint64_t)v.b[5] << 16 | (uint64_t)v.b[6] << 8 | (uint64_t)v.b[7];
}

static inline struct le16 le16_make(uint16_t v)
{
    return (struct le16){{(uint8_t)v, (uint8_t)(v >> 8)}};
}

static inline struct be16 be16_make(uint16_t value)
{
    return (struct be16){{(uint8_t)(value >> 8), (uint8_t)value}};
}

static inline struct be32 be32_make(uint32_t value)
{
    return (struct be32){{(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value}};
}

static inline struct be64 be64_make(uint64_t value)
{
    return (struct be64){{(uint8_t)(value >> 56), (uint8_t)(value >> 48), (uint8_t)(value >> 40),
                          (uint8_t)(value >> 32), (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                          (uint8_t)value}};
}

static inline struct le32 le32_make(uint32_t value)
{
    return (struct le32){{(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24)}};
}

static inline struct le64 le64_make(uint64_t v)
{
    return (struct le64){{(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24), (uint8_t)(v >> 32),
                          (uint8_t)(v >> 40), (uint8_t)(v >> 48), (uint8_t)(v >> 56)}};
}

#endif
