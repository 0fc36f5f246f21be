/*
 * arch.h - what an architecture is made of, from the one list of it (model/arch.def).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_MODEL_ARCH_H
#define RBE_MODEL_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rbe_model_config;

#define RBE_ARCH(id, ...) RBE_ARCH_##id,
enum rbe_arch_id {
#include "model/arch.def"
    RBE_ARCH_COUNT
};

#define RBE_CLASS(id, ...) RBE_CLASS_##id,
enum rbe_class {
#include "model/arch.def"
    RBE_CLASS_COUNT
};

#define RBE_ROLE(id) RBE_ROLE_##id,
enum rbe_role {
#include "model/arch.def"
    RBE_ROLE_COUNT, RBE_ROLE_NONE = RBE_ROLE_COUNT
};

#define RBE_OPTION(id) RBE_OPTION_##id,
enum rbe_option {
#include "model/arch.def"
    RBE_OPTION_COUNT
};

/* The parts there are.  Where a pass has more to do than take one of two ways, it asks by a
 * switch without a default, so that the compiler names the place; the others compare. */
enum rbe_norm { RBE_LAYER_NORM, RBE_RMS_NORM };
enum rbe_positions { RBE_LEARNED, RBE_ROTARY };
enum rbe_activation { RBE_GELU, RBE_SWIGLU };

enum rbe_form { RBE_AS_IS, RBE_TURNED, RBE_VECTOR, RBE_PAIRED };

/* Tensors that one role's weight may be made of. */
enum { RBE_RANGES_MAX = 3 };

/* A tensor of each model, or of each layer. */
struct rbe_arch_tensor {
    const char *name, *gguf;    /* %u: the layer */
    enum rbe_role role;
    enum rbe_class tensor_class;
    enum rbe_form form;
    unsigned options;           /* bit of the option that it belongs to; 0: always there */
};

struct rbe_arch_spare {
    const char *name;
    enum rbe_role role;         /* whose values it must have; RBE_ROLE_NONE: any */
};

struct rbe_arch {
    const char *type, *title, *prefix;
    enum rbe_norm norm;
    enum rbe_positions positions;
    enum rbe_activation activation;
    const struct rbe_arch_tensor *tensors;      /* up to one whose name is NULL */
    const struct rbe_arch_spare *spares;        /* likewise */
    const char *profile;                        /* that converts it where none is named */
};

/* NULL past the end. */
const struct rbe_arch *rbe_arch_at(enum rbe_arch_id id);

/* Tensors of a model. */
size_t rbe_arch_count(const struct rbe_model_config *c);
/* Number i of them, in the list's order; *layer is -1 outside the layers. */
const struct rbe_arch_tensor *rbe_arch_find(const struct rbe_model_config *c, size_t i,
                                            int *layer);
/* The first range of the weight that t is a range of: t itself where it is all of its role. */
const struct rbe_arch_tensor *rbe_arch_first(const struct rbe_arch *a,
                                             const struct rbe_arch_tensor *t);
/* As W [outputs][inputs]. */
void rbe_arch_shape(const struct rbe_arch_tensor *t, const struct rbe_model_config *c,
                    uint32_t *rows, uint32_t *cols);

/* Whether name is the list's, of a layer below `layers`; *layer is that or -1. */
bool rbe_arch_is_name(const char *listed, const char *name, uint32_t layers, int *layer);
/* name without the prefix that its architecture's names may have. */
const char *rbe_arch_bare(const struct rbe_arch *a, const char *name);
/* The tensor so named, with or without the prefix, of whichever architecture has it; NULL:
 * none.  *layer as above. */
const struct rbe_arch_tensor *rbe_arch_by_name(const char *name, int *layer);

/* "wte", "attn.qkv", ...; NULL past the end. */
const char *rbe_class_name(enum rbe_class c);
bool rbe_class_is_matrix(enum rbe_class c);
/* "attention", ...: the part of the model that matrices of this class are of; else NULL. */
const char *rbe_class_part(enum rbe_class c);
/* Whether layers have tensors of this class. */
bool rbe_class_in_layers(enum rbe_class c);

#endif
