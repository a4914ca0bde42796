/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job: one guest program, run once, on files that the user named.
 *
 * job_run opens the files, starts the child that builds and runs the machine (host/job/child/child.c), relays what
 * the guest reports, and makes the output appear under its name when, and only when, the job succeeded.
 *
 * Devices of the machine are numbered: the inputs in their order, then the output if there is one, then the further
 * ones (job_outputs.h), then the files that images lead to, in the order in which the guest asked for them.
 */
#ifndef INSTAR_HOST_JOB_JOB_H
#define INSTAR_HOST_JOB_JOB_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi/boot_info.h"
#include "abi/layout.h"
#include "base/error.h"
#include "base/span.h"
#include "host/backends/backend.h"
#include "host/job/child_remains.h"
#include "host/job/files/job_outputs.h"
#include "host/job/job.pb.h"
#include "host/job/policy/policy.h"
#include "messages.pb.h"

struct transport;

/* Images that are read; behind the first ones of so many, all devices share a thread. */
#define JOB_INPUT_MAX 128u
#define JOB_OWN_INPUT_MAX 32u
/* Sector sizes: powers of two within these bounds, bytes. */
#define JOB_SECTOR_LEN_MIN 512u
#define JOB_SECTOR_LEN_MAX 16777216u
/* A request is at most as large as the largest sector. */
#define JOB_REQUEST_LEN_MAX JOB_SECTOR_LEN_MAX
/*
 * Backing files and the like, as many as an image may have behind it; those that are never asked for cost next to
 * nothing. And those that an image of many files may consist of.
 */
#define JOB_CHAIN_DEVICE_MAX 200u
#define JOB_PART_DEVICE_MAX 2048u
#define JOB_LATE_DEVICE_MAX (JOB_CHAIN_DEVICE_MAX + JOB_PART_DEVICE_MAX)
/* All that a machine has, but for the console. Inputs, outputs and late devices together are no more. */
#define JOB_DEVICE_MAX (LAYOUT_DEVICE_MAX - 1u)
/* As many transfers as a virtqueue has descriptors. */
#define JOB_QUEUE_DEPTH_MAX 256u
#define JOB_PROGRESS_NONE 100u
#define JOB_SOCKET_MAX 4u
#define JOB_PROCESSOR_LEVEL_MAX 3u

enum job_output_kind {
    JOB_OUTPUT_NONE,
    JOB_OUTPUT_NEW,      /* appears under its name when it is complete; a block device is written in place */
    JOB_OUTPUT_IN_PLACE, /* an existing file or block device, written where it is; its length stays (resizes_output) */
};

/* How long a new output is. */
enum job_output_len {
    JOB_OUTPUT_AS_INPUT,      /* as the first input */
    JOB_OUTPUT_AS_GUEST_SAYS, /* nothing until the guest sets it; a block device keeps its own */
};

/* What a job may use; 0 means no limit. Passing one ends the job with ERROR_LIMIT. */
struct job_limits {
    uint32_t time_s;     /* seconds of wall time, from job_run on */
    uint32_t cpu_s;      /* seconds of processor time, of the machine and of this process */
    uint64_t output_len; /* bytes stored in all outputs together */
    uint64_t memory_len; /* bytes of guest memory for data */
    uint64_t exit_count; /* exits of all vCPUs */
    /*
     * What stays free on the file system of an output, bytes; 0: nothing; UINT64_MAX: what we think is right, or
     * nothing with may_fill_disk.
     */
    uint64_t min_free_len;
    /* For who prints: lines of each sort; UINT64_MAX: what we think is right; 0: any number. */
    uint64_t line_count;
};

/* What executes the guest (host/vmm/engine.h). */
enum job_sandbox {
    JOB_SANDBOX_AUTO, /* KVM when it can be used; otherwise a process, and the observer is told why */
    JOB_SANDBOX_KVM,
    JOB_SANDBOX_PROCESS,
};

/* Whom the machine's process becomes, for a job that root has started. */
struct job_user {
    bool is_set;      /* false: it stays who started it */
    bool is_optional; /* where the system does not let it, the job goes on without */
    uid_t uid;
    gid_t gid;
};

/* With more inputs there may be fewer of the others (devices_check). */
_Static_assert(JOB_OWN_INPUT_MAX + 1u + JOB_FURTHER_OUTPUT_MAX + JOB_CHAIN_DEVICE_MAX <= JOB_DEVICE_MAX &&
                   JOB_OWN_INPUT_MAX + JOB_OWN_OUTPUT_MAX + JOB_LATE_DEVICE_MAX <= JOB_DEVICE_MAX,
               "a machine has devices for them");

/* What the child needs of it crosses in struct child_order, field by field. */
struct job {
    const char *program_name;               /* for messages */
    struct span program;                    /* the guest's ELF image; the caller's, for the time of job_run */
    struct job_image inputs[JOB_INPUT_MAX]; /* opened for reading; the same file may come twice */
    unsigned int input_count;
    enum job_output_kind output_kind;
    enum job_output_len output_len;
    struct job_image output;            /* none of the inputs */
    bool fills_output;                  /* in place: what other files have is written to it */
    bool may_fill_disk;                 /* in place: unless it is given, nothing need stay free (min_free_len) */
    bool streams_output;                /* a new output may be a pipe: the guest writes it from front to back */
    struct job_outputs further_outputs; /* with an output only; the caller's, to release */
    bool no_cow;          /* a new output is made without copy-on-write, where its file system has such files */
    uint32_t extent_hint; /* bytes: storage comes to it in pieces of this size, likewise; 0: no hint */
    struct span message;  /* what the guest receives first: an encoded VmmConfig or ImageJob; the caller's */
    /*
     * Guest memory for data, in bytes: as much as the job would have, and the least that it can do with. What it
     * gets depends on limits.memory_len.
     */
    uint64_t arena_len;
    uint64_t arena_len_min;
    /*
     * An output in place: the guest may give a regular file another length. It may be an image that the guest looks
     * into, and that names others, like an input.
     */
    bool resizes_output;
    /* How data comes to the guest program and from it, which must know it (host/job/transports.h); NULL: virtio-blk. */
    const struct transport *transport;
    /* Of the daemons that have input and output instead of the job, where the transport has some, or where they connect
     * (enum transport_socket); else NULL. */
    const char *sockets[JOB_SOCKET_MAX];
    bool flushes_outputs; /* the guest flushes what it has written before it ends: the disk may begin before */
    bool want_copies;     /* the guest may let the host copy to the output (VIRTIO_BLK_T_INSTAR_COPY) */
    bool reads_in_vain;   /* what cannot be read of an input is the guest's business, and does not fail the job */
    bool want_console;    /* the guest may have megabytes of messages (abi/virtio_console.h) */
    bool use_ioeventfd;
    uint32_t vcpu_count;      /* 1 to LAYOUT_VCPU_MAX */
    uint32_t processor_level; /* of struct engine_setup, up to JOB_PROCESSOR_LEVEL_MAX */
    struct job_limits limits;
    const struct policy *policy; /* on files that images name; NULL: none may be opened */
    uint32_t late_device_count;  /* devices that the guest may ask for, up to JOB_LATE_DEVICE_MAX */
    enum job_sandbox sandbox;
    struct job_user user;
    /*
     * What images lead to and another device of the job already has, by a name that starts in the same directory, is
     * that device: the guest sees that it is the same file.
     */
    bool joins_files;
    bool has_said_formats; /* of all files that the user names: what is in them is not guessed */
    bool only_describes;   /* nothing of a disk is read, only what images say about themselves (qemu-img info) */
    bool lock_images;      /* take QEMU's locks on images (host/job/files/image_lock.h) */
    bool force_share;      /* images may be in use by others (qemu-img -U) */
    bool reads_alone; /* without force_share: nobody writes to inputs of any format meanwhile, as in qemu-img convert */
    /*
     * Nobody else writes to the output meanwhile, which has a format other than raw, or gets it: from before the guest
     * reads anything of it. What it says about formats is heard when it may have written already.
     */
    bool writes_alone;
    /* The rest of this process's life has no more rights than the job's (host/job/parent/parent_walls.h). */
    bool confines_process;
    bool sync; /* output and its name are on stable storage when job_run returns */
    bool want_statistics;
    bool want_debug;
};

/*
 * Called from job_run, in the order in which the guest sent. Any of them may be NULL.
 *
 * While they run, the signals that end a job (SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE) are blocked: one that
 * may wait for long, because it writes to a terminal or a pipe, gives up when job_is_interrupted.
 */
struct job_observer {
    void *context;
    void (*guest_message)(void *context, const instar_GuestMessage *message); /* not for the result, Complete */
    const struct error *failure; /* once there is an error after a message, the job ends with it; NULL: none comes */
    void (*debug_line)(void *context, const char *text);
    /* A line that the machine's process has written to its standard error, as one that crashes does. Any bytes but 0.
     */
    void (*child_text)(void *context, const char *text);
    /* The job runs in a process instead of a virtual machine; `reason` says why. Before anything else. */
    void (*without_kvm)(void *context, const struct error *reason);
    /* Somebody asks how far the job is (SIGUSR1). */
    void (*progress_asked)(void *context);
    /*
     * The regular file at `path`, which was to be replaced, is written in place, as `reason` says (the end of a
     * sentence): what it contains is lost if the job fails. Before the guest runs.
     */
    void (*in_place)(void *context, const char *path, const char *reason);
    /* Nothing more has come so far: time to write what was buffered, and to draw. */
    void (*idle)(void *context);
    uint32_t idle_interval_ms; /* call idle at least this often; 0: only after messages */
};

/* A device of the machine, for whoever prints something about it. */
struct job_device {
    /*
     * As the user knows the file: as given, or for files that images lead to, the directory of the path of the image
     * that names it, and the name. From images: any bytes but zero.
     */
    char *path;             /* the result's */
    uint64_t len;           /* bytes; of the output, when it was opened */
    uint64_t allocated_len; /* bytes of storage */
    bool is_regular;        /* false: a block device */
    unsigned int referrer;  /* the device whose image names this one; its own number where the user did */
};

struct job_result {
    /* All devices so far; valid and growing while the job runs, so that observers can look things up. */
    struct job_device devices[JOB_DEVICE_MAX];
    unsigned int device_count;
    /*
     * The error is that an image could not even be opened, by the host or by the guest: one that the user named, the
     * one with the number opening_device, or one behind it, which error.place tells. With ERROR_IN_USE somebody else
     * uses the image at error.place.
     */
    bool is_opening;
    unsigned int opening_device;
    instar_CompleteMessage complete;
    instar_Statistics statistics; /* valid with has_statistics: the job wanted them, and its machine ran */
    bool has_statistics;
    int signal_number;            /* the signal that interrupted the job, or 0 */
    struct child_remains remains; /* job_result_release waits for it */
};

/*
 * Runs the job. Returns true when the guest reported success and the output is complete, unlocked and closed.
 * On failure *error says why, the input is untouched, and so is whatever stood under the output's name when
 * it is a new file. *ret_result is valid in both cases, until job_result_release.
 *
 * Descriptors 0 to 2 must be open: files would get their numbers. SIGXFSZ is ignored meanwhile, so that a file
 * size limit is an error like a full disk.
 *
 * The child may still be on its way out when this returns, beside what is left to do here: taking a virtual machine
 * down takes milliseconds. It holds no file of the job any more.
 */
bool job_run(const struct job *job, const struct job_observer *observer, struct job_result *ret_result,
             struct error *error);

/* Frees what a result has, after job_run, and waits for the end of the job's processes: what a caller does last. */
void job_result_release(struct job_result *result);

/* For observers: whether a signal that ends the job has arrived, or its time is over. */
bool job_is_interrupted(void);

#endif
