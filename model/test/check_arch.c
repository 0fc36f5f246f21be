/*
 * check_arch.c - the tables of architectures: whole, without doubles, and GPT-2's as published.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/arch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/test/check.h"
#include "model/config.h"
#include "model/source.h"

/* What holds for every architecture's list. */
static void check_list(enum rbe_arch_id id)
{
    const struct rbe_arch *a = rbe_arch_at(id);
    bool seen[RBE_ROLE_COUNT] = {false}, ended = false;
    size_t of_layers = 0, n = 0;

    CHECK(a->type && a->title && a->prefix);
    for (const struct rbe_arch_tensor *t = a->tensors; t->name; t++, n++) {
        const bool in_layer = strstr(t->name, "%u");

        /* Ranges of one weight follow each other. */
        CHECK(n < 64 && (!seen[t->role] || t[-1].role == t->role));
        CHECK(rbe_arch_first(a, t)->role == t->role);
        CHECK(t - rbe_arch_first(a, t) < RBE_RANGES_MAX);
        seen[t->role] = true;
        /* Layers stand together, and a layer's name in one list is one in the other. */
        ended = ended || (of_layers && !in_layer);
        CHECK(!(in_layer && ended));
        of_layers += in_layer;
        CHECK(!t->gguf || in_layer == (strstr(t->gguf, "%u") != NULL));
        CHECK(!in_layer || rbe_class_in_layers(t->tensor_class));
        CHECK((t->form == RBE_VECTOR) == (t->tensor_class == RBE_CLASS_OTHER));
        for (const struct rbe_arch_tensor *u = a->tensors; u < t; u++)
            CHECK(strcmp(u->name, t->name) &&
                  (!u->gguf || !t->gguf || strcmp(u->gguf, t->gguf)));
    }
    CHECK(of_layers && seen[RBE_ROLE_TOKENS]);
    for (const struct rbe_arch_spare *s = a->spares; s->name; s++)
        CHECK(s->role == RBE_ROLE_NONE || seen[s->role]);
}

static void check_names(void)
{
    static const struct {
        const char *name;
        enum rbe_class c;
        enum rbe_role role;
        int layer;
    } known[] = {{"h.11.mlp.c_fc.weight", RBE_CLASS_FC, RBE_ROLE_FFN_UP, 11},
                 {"h.0.attn.c_attn.weight", RBE_CLASS_QKV, RBE_ROLE_QKV, 0},
                 {"transformer.h.3.attn.c_proj.weight", RBE_CLASS_ATTN_PROJ,
                  RBE_ROLE_ATTN_OUT, 3},
                 {"h.3.mlp.c_proj.weight", RBE_CLASS_MLP_PROJ, RBE_ROLE_FFN_DOWN, 3},
                 {"h.3.mlp.c_proj.bias", RBE_CLASS_OTHER, RBE_ROLE_FFN_DOWN_BIAS, 3},
                 {"wte.weight", RBE_CLASS_WTE, RBE_ROLE_TOKENS, -1},
                 {"transformer.wpe.weight", RBE_CLASS_WPE, RBE_ROLE_POSITIONS, -1},
                 {"ln_f.weight", RBE_CLASS_OTHER, RBE_ROLE_LAST_NORM, -1}};
    static const char *const unknown[] = {"h..mlp.c_fc.weight", "h.1.mlp.c_fc.weights",
        "h.123456.mlp.c_fc.weight", "h.1x.mlp.c_fc.weight", "wte", "", "h.%u.ln_1.bias"};
    int layer;

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const struct rbe_arch_tensor *t = rbe_arch_by_name(known[i].name, &layer);

        CHECK(t && t->tensor_class == known[i].c && t->role == known[i].role);
        CHECK(layer == known[i].layer);
    }
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        CHECK(!rbe_arch_by_name(unknown[i], &layer) && layer == -1);
    /* A layer that the model has not. */
    CHECK(rbe_arch_is_name("h.%u.attn.bias", "h.11.attn.bias", 12, &layer) && layer == 11);
    CHECK(!rbe_arch_is_name("h.%u.attn.bias", "h.12.attn.bias", 12, &layer));
}

static void check_gpt2(void)
{
    struct rbe_model_config c;
    struct rbe_source_tensor t;

    CHECK(!rbe_model_config_size(&c, "124M", NULL));
    CHECK(c.arch == RBE_ARCH_GPT2 && c.n_inner == 3072 && c.eos == 50256);
    CHECK(rbe_model_config_params(&c) == 124439808 && rbe_source_count(&c) == 148);
    t = rbe_source_tensor(&c, 0);
    CHECK(!strcmp(t.name, "wte.weight") && t.matrix && !t.transposed && t.rows == 50257);
    t = rbe_source_tensor(&c, 1);
    CHECK(!strcmp(t.name, "wpe.weight") && !t.matrix && t.dims == 2 && t.rows == 1024);
    t = rbe_source_tensor(&c, 2 + 11 * 12 + 10);
    CHECK(!strcmp(t.name, "h.11.mlp.c_proj.weight") && t.transposed && t.layer == 11);
    CHECK(t.rows == 768 && t.cols == 3072 && t.matrix && t.dims == 2);
    t = rbe_source_tensor(&c, 147);
    CHECK(!strcmp(t.name, "ln_f.bias") && t.dims == 1 && t.cols == 768 && t.layer == -1);
}

/* A configuration is read as it was written. */
static void check_config(const char *size)
{
    struct rbe_model_config c, again;
    char *text = NULL;
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);

    CHECK(f && !rbe_model_config_size(&c, size, NULL));
    c.eos = c.bos = 7;          /* bos follows where an architecture has no key for it */
    c.n_inner = c.n_embd;
    if (f) {
        rbe_model_config_print(f, &c);
        fclose(f);
        CHECK(!rbe_model_config_parse(&again, text, bytes, "text", NULL));
        CHECK(!memcmp(&c, &again, sizeof c));
    }
    free(text);
}

int main(void)
{
    char sizes[400], *at = sizes, *size;

    for (int a = 0; a < RBE_ARCH_COUNT; a++)
        check_list((enum rbe_arch_id)a);
    CHECK(!rbe_arch_at(RBE_ARCH_COUNT) && !rbe_class_name(RBE_CLASS_COUNT));
    check_names();
    check_gpt2();
    rbe_model_config_sizes(sizes, sizeof sizes, RBE_ARCH_COUNT, " or ");
    CHECK(!strncmp(sizes, "117M (124M), 345M (355M), ", 26) && strstr(sizes, " or "));
    while ((size = strtok_r(at, ", ()", &at)))
        if (strcmp(size, "or") != 0)
            check_config(size);
    return check_done();
}
