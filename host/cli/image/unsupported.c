/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of qemu-img that are not there yet: they say so. */
#include "base/error.h"
#include "host/cli/command.h"
#include "host/cli/personality.h"
#include "host/cli/report.h"

int command_unsupported(int argc, char **argv)
{
    (void)argc;
    struct error error = {0};
    error_fill(&error, ERROR_UNSUPPORTED, NULL, "the command '%s' is not supported yet", argv[0]);
    return report_error(program_name(), &error);
}
