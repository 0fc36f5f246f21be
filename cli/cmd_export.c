/*
 * cmd_export.c - rbe export: a model as files of Hugging Face, or as a GGUF file.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/arguments.h"
#include "convert/export.h"
#include "model/data.h"

/* The words of the options; OUT's name says the format where no option does. */
static enum rbe_status read_words(struct rbe_export_options *o, const struct rbe_export_args *a,
                                  struct rbe_diag *d)
{
    const size_t n = strlen(a->out);
    const bool named = n > 5 && !strcmp(a->out + n - 5, ".gguf");

    if (!n)
        return rbe_fail(d, RBE_ERR_ARG, "OUT is an empty name");
    if (a->format && strcmp(a->format, "safetensors") && strcmp(a->format, "gguf"))
        return rbe_fail(d, RBE_ERR_ARG, "--format '%s'; valid: safetensors, gguf", a->format);
    if (strcasecmp(a->dtype, "f16") && strcasecmp(a->dtype, "f32"))
        return rbe_fail(d, RBE_ERR_ARG, "--dtype '%s'; valid: f16, f32", a->dtype);
    if (a->tokenizer && a->no_tokenizer)
        return rbe_fail(d, RBE_ERR_ARG, "--tokenizer and --no-tokenizer exclude one another");
    o->gguf = a->format ? !strcmp(a->format, "gguf") : named;
    o->wide = !strcasecmp(a->dtype, "f32");
    return RBE_OK;
}

/* OUT is no input and can be written: known before the work. */
static enum rbe_status check_files(const struct rbe_export_args *a, const char *tokenizer,
                                   bool gguf, struct rbe_diag *d)
{
    char *out = strdup(a->out);
    struct rbe_files f = {0};
    enum rbe_status err;

    if (!out)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    /* A folder's name may end in slashes. */
    for (size_t n = strlen(out); !gguf && n > 1 && out[n - 1] == '/';)
        out[--n] = 0;
    if (!(err = rbe_files_read_model(&f, a->model, d)) &&
        (!tokenizer || !(err = rbe_files_read_model(&f, tokenizer, d))) &&
        !(err = rbe_export_check(a->out, gguf, d)) &&
        !(err = rbe_files_guard_model(&f, a->out, d)))
        err = gguf ? rbe_files_replace(&f, a->out, d) : rbe_files_append(&f, out, d);
    rbe_files_free(&f);
    free(out);
    return err;
}

static void print_counts(const struct rbe_export_args *a, const struct rbe_export_counts *n)
{
    printf("%s -> %s: %llu weights", a->model, a->out, (unsigned long long)n->values);
    if (n->f16)
        printf(", %llu as F16: %llu rounded, %llu of them too small for all of F16's digits, "
               "none clipped", (unsigned long long)n->f16, (unsigned long long)n->rounded,
               (unsigned long long)n->lost);
    else
        printf(" as F32");
    putchar('\n');
}

static enum rbe_status export(const struct rbe_export_args *a, struct rbe_diag *d)
{
    struct rbe_progress progress;
    struct rbe_export_options o = {.progress = &progress};
    struct rbe_export_counts counts;
    struct rbe_source *s = NULL;
    char *place = NULL, *name = NULL;
    enum rbe_status err;

    if ((err = read_words(&o, a, d)) || (err = rbe_source_open_head(&s, a->model, d)) ||
        (!a->no_tokenizer &&
         (err = rbe_find_tokenizer_place(&place, a->tokenizer, a->model, &s->config, d))) ||
        (err = check_files(a, place, o.gguf, d)) || (err = rbe_source_find_all(s, d)))
        goto out;
    if (!(o.name = name = rbe_path_name(a->model))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    o.tokenizer = place;
    rbe_catch_interrupt();
    if (!(err = rbe_export(&counts, s, a->out, &o, d)))
        print_counts(a, &counts);
out:
    rbe_source_close(&s);
    free(place);
    free(name);
    return err;
}

enum rbe_status rbe_cmd_export(struct rbe_export_args *a, struct rbe_diag *d)
{
    const char *const *args = a->call.args;
    enum rbe_status err;

    if (a->call.count != 2)
        return rbe_fail(d, RBE_ERR_ARG, "want MODEL and OUT; --help explains");
    if (a->quiet)
        rbe_progress_silence();
    if ((err = rbe_call_model(&a->call, 0, d)))
        return err;
    a->model = args[0];
    a->out = args[1];
    return export(a, d);
}
