/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/sandbox.h"

bool sandbox_choose(enum job_sandbox sandbox, const struct engine_operations **ret_engine, struct error *ret_notice,
                    struct error *error)
{
    const struct engine_operations *engine = sandbox == JOB_SANDBOX_PROCESS ? &process_engine : &kvm_engine;
    struct error reason = {0};
    if (!engine->probe(&reason)) {
        if (sandbox != JOB_SANDBOX_AUTO) {
            *error = reason;
            return false;
        }
        RETURN_IF_FAILED(process_engine.probe(error));
        engine = &process_engine;
        *ret_notice = reason;
    }
    *ret_engine = engine;
    return true;
}
