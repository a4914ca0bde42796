/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/convert/convert_pump.h"

#include "guest/operations/job/progress_report.h"

/* Submits what there is. Sets *ret_moved if that was something. */
static bool submit_parts(const struct convert_pump *pump, bool *ret_moved, struct error *error)
{
    struct convert_target *output = pump->output;
    *ret_moved = false;
    for (;;) { /* ends: when the reader has no part or the target no room left */
        if (!output->has_part) {
            struct reader_part part;
            bool is_taken;
            RETURN_IF_FAILED(reader_take(pump->reader, &part, &is_taken, error));
            if (is_taken) {
                convert_target_give(output, &part, pump->end_voff);
            }
        }
        if (!rate_limit_allows(pump->rate_limit, output->bytes_written)) {
            rate_limit_wait();
            *ret_moved = true;
            return true;
        }
        bool has_moved;
        RETURN_IF_FAILED(convert_target_submit(output, &has_moved, error));
        if (!has_moved) {
            return true;
        }
        *ret_moved = true;
    }
}

bool convert_pump_run(const struct convert_pump *pump, struct error *error)
{
    struct convert_target *output = pump->output;
    while (!reader_is_finished(pump->reader) || !convert_target_is_idle(output)) {
        bool has_moved;
        reader_advance(pump->reader);
        RETURN_IF_FAILED(submit_parts(pump, &has_moved, error));
        if (has_moved) {
            RETURN_IF_FAILED(io_poll(pump->io, error));
        } else {
            RETURN_IF_FAILED(reader_wait(pump->reader, &output->pending, error));
        }
        if (error_is_set(&output->error)) {
            *error = output->error;
            return false;
        }
        (void)progress_report(pump->progress);
    }
    return true;
}
