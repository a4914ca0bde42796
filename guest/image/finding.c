/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/finding.h"

#include <stdio.h>

#include "guest/runtime/messages.h"

void check_finding_list(struct findings *findings, const char *format, va_list arguments)
{
    if (findings->left == 0) {
        return;
    }
    findings->left--;
    static instar_GuestMessage message; /* large */
    message.which_kind = instar_GuestMessage_finding_tag;
    vsnprintf(message.kind.finding.text, sizeof(message.kind.finding.text), format, arguments);
    messages_post(&message);
}

void check_finding(struct findings *findings, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    check_finding_list(findings, format, arguments);
    va_end(arguments);
}
