/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crypto/argon2_key.h"

#include <argon2.h>

#include "base/checked.h"

#define KIB 1024ull
#define BLOCK_ALIGN 64u

/* The library asks for memory without saying who for: one key is made at a time, on vCPU 0. */
static struct arena *lender;

static int memory_take(uint8_t **memory, size_t len)
{
    *memory = arena_allocate(lender, len, BLOCK_ALIGN);
    return *memory != NULL ? 0 : -1;
}

/* It has been wiped, by the library. */
static void memory_give_back(uint8_t *memory, size_t len)
{
    arena_give_back(lender, memory, len);
}

/*
 * The library makes threads where it is asked for more than one. It is not; defined here, these keep its own out of the
 * link, which would bring in libc's.
 */
int argon2_thread_create(void *handle, void *(*function)(void *), void *context);
int argon2_thread_join(unsigned long handle);
void argon2_thread_exit(void);

int argon2_thread_create(void *handle UNUSED, void *(*function)(void *)UNUSED, void *context UNUSED)
{
    return -1;
}

int argon2_thread_join(unsigned long handle UNUSED)
{
    return -1;
}

void argon2_thread_exit(void)
{
}

bool argon2_key(const struct argon2_setup *setup, struct span password, struct arena *arena, uint8_t *target,
                size_t len, struct error *error)
{
    uint64_t left = arena_left(arena, BLOCK_ALIGN);
    if (setup->memory_kib * KIB > left) {
        return error_set(error, ERROR_LIMIT, NULL, "Argon2 takes %u KiB of memory for the key, and the job has %llu",
                         setup->memory_kib, (unsigned long long)(left / KIB));
    }
    argon2_context context = {
        .out = target,
        .outlen = (uint32_t)len,
        .pwd = (uint8_t *)(uintptr_t)password.data,
        .pwdlen = (uint32_t)password.len,
        .salt = (uint8_t *)(uintptr_t)setup->salt.data,
        .saltlen = (uint32_t)setup->salt.len,
        .t_cost = setup->passes,
        .m_cost = setup->memory_kib,
        .lanes = setup->lanes,
        .threads = 1,
        .version = ARGON2_VERSION_13,
        .allocate_cbk = memory_take,
        .free_cbk = memory_give_back,
    };
    lender = arena;
    int result = argon2_ctx(&context, setup->is_hybrid ? Argon2_id : Argon2_i);
    lender = NULL;
    return result == ARGON2_OK ||
           error_set(error, ERROR_MALFORMED, NULL, "Argon2 does not take its parameters (%d)", result);
}
