/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/backing_source.h"

#include <string.h>

#include "host/cli/image/names/image_path.h"

bool backing_source_add(struct command_job *job, const char *image_path, const char *name, const char *format)
{
    static struct image_path path;
    static char text[IMAGE_PATH_LEN_MAX + 1];
    struct span bytes = {(const uint8_t *)name, strlen(name)};
    if (!image_path_beside(image_path, bytes, &path)) {
        return error_set(&job->error, ERROR_USAGE, NULL, "the name of the backing file is too long");
    }
    memcpy(text, path.bytes, path.len);
    text[path.len] = '\0';
    /* A directory may have a colon in its name: what is put together is a path whatever it looks like. */
    if (!image_path_has_protocol(bytes)) {
        return command_job_add_source_path(job, text, format);
    }
    bool use_image_opts = job->options.use_image_opts; /* that is about the image's name */
    job->options.use_image_opts = false;
    bool success = command_job_add_source(job, text, format);
    job->options.use_image_opts = use_image_opts;
    return success;
}
