/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail: what the process that runs a machine gives up before the first guest instruction, so that whoever
 * takes it over holds the descriptors that it needs for its job, and nothing else.
 *
 * In this order:
 *   jail_enter    when everything is open and no other thread exists: no new privileges, no core dump, no
 *                 capability, no file by name (Landlock); the filters are made
 *   jail_confine  on each thread, its first act: a filter for what this kind of thread does (jail_calls.c has the
 * lists) jail_close    on the first thread, when all others have done so: limits on descriptors, processes and address
 * space, and its own filter
 *
 * A thread that the kernel still starts makes system calls that are on no list.
 *
 * A forbidden system call is not executed and ends the process by SIGSYS (jail_report.h).
 */
#ifndef INSTAR_HOST_JAIL_JAIL_H
#define INSTAR_HOST_JAIL_JAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* What the process is made of. Each part keeps the system calls that it needs; 0 keeps what every process needs. */
enum jail_part {
    JAIL_ENGINE_KVM = 1u << 0,
    JAIL_ENGINE_PROCESS = 1u << 1,
    JAIL_BACKEND_REGULAR = 1u << 2,
    JAIL_BACKEND_DIRECT = 1u << 3,
    JAIL_BACKEND_MMAP = 1u << 4,
    JAIL_BACKEND_IO_URING = 1u << 5,
    JAIL_BACKEND_MEMORY = 1u << 6,
    JAIL_LATE_FILES = 1u << 7, /* files that the parent sends while the guest runs */
    JAIL_STATISTICS = 1u << 8,
    JAIL_COPIES = 1u << 9,            /* from file to file, for a guest that asks for it */
    JAIL_RESIZABLE_OUTPUT = 1u << 10, /* a file whose length the guest sets */
    JAIL_DAEMONS = 1u << 12,          /* other processes that have devices of the machine, each behind a socket */
    JAIL_SANITIZER = 1u << 11,        /* set by the jail itself, in builds with a sanitizer (jail_sanitizer.h) */
    JAIL_VCPU_FILES =
        1u << 14, /* vCPUs read and write images themselves, for a device that has no thread; see jail_call_choice */
    JAIL_MIN_FREE = 1u << 16, /* outputs must not fill their file system */
    JAIL_SOCKETS = 1u << 13,  /* connections to users of a device, which are there from the start */
};

/* What a thread does. Each kind has a filter of its own. */
enum jail_role {
    JAIL_ROLE_FIRST,  /* relays, and ends the process */
    JAIL_ROLE_VCPU,   /* serves a vCPU's exits */
    JAIL_ROLE_DEVICE, /* reads and writes images */
    JAIL_ROLE_COUNT,
};

/* The numbers that the sockets of daemons have: what is sent is sent there. Two of them. */
#define JAIL_DAEMON_FD_FIRST 100

/* What this kernel, or this system, cannot give. */
enum jail_gap {
    JAIL_GAP_LANDLOCK = 1u << 0,      /* before Linux 5.13, or not enabled at boot */
    JAIL_GAP_NAMESPACES = 1u << 2,    /* not for who is not root here, or in a container without them */
    JAIL_GAP_ADDRESS_SPACE = 1u << 1, /* /proc is not there to tell how large the process is */
    JAIL_GAP_USER = 1u << 3,          /* no other user for root's process, as in a namespace without users */
};

struct jail_config {
    uint32_t parts;               /* enum jail_part */
    unsigned int late_file_count; /* descriptors that may still arrive */
    uint64_t growth_len;          /* bytes of address space that the process may still map */
    bool has_file_len;            /* it is known how long a file may become: */
    uint64_t file_len_max;        /* bytes */
    /*
     * Numbers of descriptors: of what is written to as a file from output_first on, of what is read as one from
     * input_first on; all others are below. Files that come late are read only, wherever they are.
     */
    uint32_t output_first;
    uint32_t input_first;
    int child_pids[2]; /* of the parent (jail_parent.h): processes that it may end; 0: none */
    int network_fd;    /* of a network namespace to be in, which jail_enter closes; 0: one of its own */
};

struct jail {
    struct jail_config config;
    uint32_t gaps;               /* enum jail_gap; valid after jail_enter */
    int size_fd;                 /* /proc/self/statm until jail_close; -1 without it */
    struct jail_filter *filters; /* one for each role; never freed, as a jail ends with its process */
};

/* All three: on failure the process must not go on. */
bool jail_enter(struct jail *jail, const struct jail_config *config, struct error *error);
bool jail_confine(const struct jail *jail, enum jail_role role, struct error *error);
bool jail_close(struct jail *jail, struct error *error);

/* One line about a gap, for whoever wants to know. `gap` is a single bit. */
const char *jail_gap_describe(enum jail_gap gap);

#endif
