/* SPDX-License-Identifier: Apache-2.0 */
#include "host/batch/worker_outcome.h"

#include <signal.h>
#include <sys/wait.h>

static bool is_refusal(int kind)
{
    return kind == ERROR_MALFORMED || kind == ERROR_UNSUPPORTED || kind == ERROR_REFUSED || kind == ERROR_GUEST;
}

enum batch_outcome outcome_find(const struct worker *worker, bool is_stopped)
{
    int status = worker->wait_status;
    if (WIFSIGNALED(status)) {
        /* Who stops a node sends the signal to its jobs, too. */
        bool is_stop = WTERMSIG(status) == SIGTERM || WTERMSIG(status) == SIGINT || WTERMSIG(status) == SIGHUP;
        return is_stopped || is_stop ? BATCH_INTERRUPTED : BATCH_CRASHED;
    }
    if (worker->stage == WORKER_DIGESTS && worker->account->digest_errno != 0) {
        return is_stopped ? BATCH_INTERRUPTED : BATCH_FAILED;
    }
    int kind = worker->account->error_kind;
    if (batch_task_accepts(&worker->task, WEXITSTATUS(status))) {
        return BATCH_DONE;
    }
    if (kind == ERROR_INTERRUPTED) {
        return BATCH_INTERRUPTED;
    }
    if (kind == ERROR_LIMIT) {
        return BATCH_LIMIT;
    }
    return is_refusal(kind) ? BATCH_REFUSED : BATCH_FAILED;
}
