/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/child/child_peer.h"

#include <stdio.h>
#include <stdlib.h>

/* What a user can make of an error of a machine that he did not ask for. */
#define PLACE "the machine that reads"

static void debug_line_pass(void *context, const char *line)
{
    struct child_peer *peer = context;
    char text[DEBUG_LINE_MAX + sizeof("reader: ")];
    snprintf(text, sizeof(text), "reader: %s", line);
    peer->debug_line(peer->context, text);
}

static bool parts_make(struct child_peer *peer, const struct child_peer_setup *setup, struct error *error)
{
    const struct job *job = setup->job;
    RETURN_IF_FAILED(
        register_bank_init(&peer->bank, &peer->machine, (struct register_bank_late){0}, job->use_ioeventfd, error));
    peer->debug_line = setup->debug_line;
    peer->context = setup->context;
    RETURN_IF_FAILED(debug_port_init(&peer->debug_port, &peer->machine,
                                     setup->debug_line != NULL ? debug_line_pass : NULL, peer, error));
    peer->control_ports = (struct control_ports){.machine = &peer->machine, .debug_port = &peer->debug_port};
    control_ports_init(&peer->control_ports);
    return true;
}

struct child_peer *child_peer_make(const struct child_peer_setup *setup, struct error *error)
{
    struct child_peer *peer = calloc(1, sizeof(*peer));
    if (peer == NULL) {
        error_fill(error, ERROR_HOST, NULL, "out of memory");
        return NULL;
    }
    struct machine_config config = {
        .engine = setup->engine,
        .vcpu_count = 1,
        .device_count = 1,
        .arena_len = setup->arena_len,
        .exit_limit = setup->job->limits.exit_count,
        .exits_with = setup->writer,
    };
    if (!machine_init(&peer->machine, &config, error)) {
        free(peer);
        return NULL;
    }
    if (!parts_make(peer, setup, error)) {
        child_peer_release(peer);
        return NULL;
    }
    return peer;
}

bool child_peer_load(struct child_peer *peer, const struct job *job, struct error *error)
{
    static const enum boot_device_role roles[] = {BOOT_DEVICE_INPUT};
    struct machine_content content = {
        .program = job->program, /* the other machine gets it then */
        .message = job->message,
        .roles = roles,
        .transport = peer->boot_transport,
    };
    if (!machine_load(&peer->machine, &content, error)) {
        error_add_place(error, job->program_name);
        return false;
    }
    return true;
}

static bool join(struct child_peer *peer, struct error *error)
{
    bool ended_well = machine_join(&peer->machine, error);
    if (!ended_well && error->kind == ERROR_GUEST) {
        error_add_place(error, PLACE);
    }
    return ended_well;
}

void child_peer_explain(struct child_peer *peer, struct error *ret_error)
{
    struct error error = {0};
    if (join(peer, &error)) {
        error_fill(&error, ERROR_GUEST, PLACE, "it ended before the one that writes");
    }
    *ret_error = error;
}

bool child_peer_stop(struct child_peer *peer, struct error *error)
{
    machine_end(&peer->machine, NULL);
    bool ended_well = join(peer, error);
    debug_port_flush(&peer->debug_port);
    return ended_well;
}

void child_peer_release(struct child_peer *peer)
{
    if (peer == NULL) {
        return;
    }
    register_bank_release(&peer->bank);
    machine_release(&peer->machine);
    debug_port_release(&peer->debug_port);
    free(peer);
}
