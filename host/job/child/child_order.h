/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order: all that a job's child is told. The child is a program of its own, executed anew
 * (host/job/child/child_birth.h): it has its descriptors at fixed numbers and an empty environment, and reads the rest
 * from a file in memory, which is sealed. Both sides are the same executable.
 */
#ifndef INSTAR_HOST_JOB_CHILD_CHILD_ORDER_H
#define INSTAR_HOST_JOB_CHILD_CHILD_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/framing.h"
#include "host/job/child/child.h"

/* What the child finds at which number. Those that its job does not have are closed. */
enum child_fd {
    CHILD_FD_ORDER = 3,
    CHILD_FD_EVENTS = 4,   /* a pipe's writing end, for JobEvents */
    CHILD_FD_REPORT = 5,   /* the memory of host/jail/jail_report.h */
    CHILD_FD_GRANTS = 6,   /* a socket */
    CHILD_FD_LISTENER = 7, /* a socket */
    CHILD_FD_NETWORK = 8,  /* a namespace */
    CHILD_FD_END,          /* images come far above */
};

#define CHILD_ORDER_MAGIC 0x72646f69u
/* Counted up with each change of the structure: programs are exchanged while they run. */
#define CHILD_ORDER_VERSION 5u

struct child_order_image {
    char path[ERROR_PLACE_LEN]; /* for messages, cut when longer */
    uint32_t sector_len;
    uint32_t backend; /* enum backend_kind */
    uint64_t len;
    uint64_t allocated_len;
    uint32_t is_output;
    uint32_t zeroed;
    uint32_t is_resizable;
    uint32_t is_regular;
    uint32_t has_old_content;
};

struct child_order {
    uint32_t magic;
    uint32_t version;
    uint32_t len; /* bytes of this structure that are there: what it ends with are the images */
    int32_t parent_pid;
    uint32_t is_kvm; /* else the process engine */
    uint32_t transport;
    uint32_t output_kind;
    uint32_t output_len;
    uint32_t further_output_count;
    uint32_t input_count;
    uint32_t vcpu_count;
    uint32_t processor_level;
    uint32_t late_device_count;
    uint32_t want_copies;
    uint32_t flushes_outputs;
    uint32_t reads_in_vain;
    uint32_t want_console;
    uint32_t use_ioeventfd;
    uint32_t only_describes;
    uint32_t want_statistics;
    uint32_t want_debug;
    uint32_t has_user; /* of struct job_user: */
    uint32_t user_is_optional;
    uint32_t uid;
    uint32_t gid;
    uint64_t arena_len;
    uint64_t arena_len_min;
    struct job_limits limits;
    /* Of the program: bytes from the executable's beginning, where it is a part of that, or from this file's. */
    uint64_t program_off;
    uint64_t program_len;
    uint32_t is_program_embedded;
    uint32_t message_len;
    char program_name[ERROR_PLACE_LEN]; /* for messages, cut when longer */
    char sockets[JOB_SOCKET_MAX][ERROR_PLACE_LEN];
    uint8_t message[LAYOUT_MESSAGE_LEN];
    uint32_t has_grants;
    uint32_t has_listener;
    uint32_t has_network;
    uint32_t output_fd_first; /* numbers of descriptors of the outputs (struct child_ties) */
    uint32_t input_fd_first;  /* and of the inputs */
    uint32_t image_count;
    struct child_order_image images[CHILD_IMAGE_MAX];
};

/* Writes the order of `job` for a child with these ties to a new file in memory, which it seals. */
bool child_order_make(const struct job *job, const struct child_ties *ties, int *ret_fd, struct error *error);

/* What an order says. Its texts, message and program stay where the order is. */
struct child_orders {
    struct job job;
    struct child_ties ties;
    struct child_image images[CHILD_IMAGE_MAX];
    struct job_image job_images[CHILD_IMAGE_MAX];
    struct job_output further_outputs[JOB_FURTHER_OUTPUT_MAX];
};

/* In the child: reads the order at CHILD_FD_ORDER, and closes that. */
bool child_order_take(struct child_orders *ret_orders, struct error *error);

#endif
