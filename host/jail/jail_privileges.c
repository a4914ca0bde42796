/* SPDX-License-Identifier: Apache-2.0 */
#include "host/jail/jail_privileges.h"

#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/attributes.h"

/* Numbers of capabilities that a kernel may have: two words of bits. */
#define CAPABILITY_MAX 64u

/*
 * What an executed program could gain at most. As a process without new privileges gains nothing, and its jail
 * executes nothing, this is for the case that both fail; only root may do it, so a refusal is none.
 */
static void bounding_set_clear(void)
{
    for (unsigned long capability = 0; capability < CAPABILITY_MAX; capability++) {
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
            return; /* the kernel has no more, or we may not */
        }
    }
}

static bool capabilities_drop(struct error *error)
{
    bounding_set_clear();
    /* EINVAL: a kernel without ambient capabilities, before Linux 4.3. */
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL) {
        return error_set(error, ERROR_HOST, NULL, "cannot drop ambient capabilities: %s", strerror(errno));
    }
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    if (syscall(SYS_capset, &header, none) != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot drop capabilities: %s", strerror(errno));
    }
    return true;
}

bool jail_privileges_drop(struct error *error)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot give up new privileges: %s", strerror(errno));
    }
    RETURN_IF_FAILED(capabilities_drop(error));
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot forbid core dumps: %s", strerror(errno));
    }
    return true;
}

bool jail_privileges_keep_files(struct error *error)
{
    static const unsigned int kept[] = {
        CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_KILL, CAP_SETFCAP,
    };
    uint64_t mask = 0;
    for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
        mask |= 1ull << kept[i];
    }
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_capget, &header, sets) != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot give up new privileges: %s", strerror(errno));
    }
    for (unsigned int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        sets[i].permitted &= (uint32_t)(mask >> (32 * i));
        sets[i].effective &= sets[i].permitted;
        sets[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &header, sets) != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot drop capabilities: %s", strerror(errno));
    }
    return true;
}
