/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/names/image_node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/image/names/node_text.h"

/* How a node is written, but for those in it. */
struct node_form {
    const char *format;   /* of the image, if nobody has said it; empty: not known */
    bool leaves_out_none; /* not that nothing is behind it: `info` opens nothing there, and QEMU does not say so then */
};

static char *node_of(const struct image_name *name, unsigned int layer_count, const struct node_form *form);

/* The node of an image over the node of its file, which is freed. */
static char *image_over(struct node_image *node, char *file_node, const struct image_name *behind, bool without_backing,
                        const struct node_form *form)
{
    const struct node_form inner = {.format = ""};
    char *backing =
        behind != NULL ? node_of(behind, behind->layer_count, &inner) : NULL; /* recursion: IMAGE_BEHIND_MAX */
    char *text = NULL;
    node->file_node = file_node;
    node->backing_node = without_backing && !form->leaves_out_none ? "null" : backing;
    if (file_node != NULL && (behind == NULL || backing != NULL)) {
        text = node_text_image(node);
    }
    free(file_node);
    free(backing);
    return text;
}

/* The image in the file. */
static char *lowest_node(const struct image_name *name, const struct node_form *form)
{
    if (name->window.is_set && !name->window.is_within) {
        return strdup(name->window.node);
    }
    if (name->shown_format != NULL) {
        return node_text_file(name->shown_format, name->path);
    }
    struct node_image node = {
        .driver = name->format[0] != '\0' ? name->format : form->format,
        .key_secret = name->has_key_secret ? name->key_secret : NULL,
    };
    char *file = name->window.is_set ? strdup(name->window.node) : node_text_file(name->file_driver, name->path);
    if (name->has_raw_file && !name->window.is_set) {
        file = node_text_over(file);
    }
    return image_over(&node, file, name->backing, name->without_backing, form);
}

/* With so many of its layers. Recursion: IMAGE_LAYERS_MAX. */
static char *node_of(const struct image_name *name, unsigned int layer_count, const struct node_form *form)
{
    if (layer_count == 0) {
        return lowest_node(name, form);
    }
    const struct image_layer *layer = &name->layers[layer_count - 1];
    if (!layer->is_image) {
        return strdup(layer->window.node);
    }
    const struct node_form below = {.format = ""};
    struct node_image node = {
        .driver = layer->format[0] != '\0' ? layer->format : form->format,
        .key_secret = layer->has_key_secret ? layer->key_secret : NULL,
    };
    return image_over(&node, node_of(name, layer_count - 1, &below), layer->backing, layer->without_backing, form);
}

static char *show(char *node)
{
    char *text = NULL;
    if (node != NULL && asprintf(&text, "json:%s", node) < 0) {
        text = NULL;
    }
    free(node);
    return text;
}

char *image_node_make(const struct image_name *name)
{
    const struct node_form form = {.format = ""};
    return node_of(name, name->layer_count, &form);
}

char *image_node_show(const struct image_name *name, const char *format)
{
    const struct node_form form = {.format = format, .leaves_out_none = true};
    return show(node_of(name, name->layer_count, &form));
}

char *image_node_show_file(const struct image_name *name)
{
    const struct node_form form = {.format = ""};
    unsigned int below = name->layer_count;
    while (below > 0 && !name->layers[below - 1].is_image) {
        below--;
    }
    below -= below > 0 ? 1 : 0;
    bool is_plain = below == 0 && !name->window.is_set && !name->has_raw_file && !name->has_key_secret &&
                    name->backing == NULL && !name->without_backing;
    return is_plain ? strdup(name->path) : show(node_of(name, below, &form));
}
