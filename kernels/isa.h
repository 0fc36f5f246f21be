/*
 * isa.h - the only list of instruction sets: what a CPU may have, and what the last word of a
 * file's name stands for.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_ISA_H
#define RBE_KERNELS_ISA_H

/*
 * DO(name, NAME, number of its bit, what it builds on): a bit stands for the whole set of flags
 * that files are compiled with (Makefile) and for the operating system saving the registers.
 */
#define RBE_EACH_ISA(DO)                                                                       \
    DO(sse41, SSE41, 0, 0)                                                                     \
    DO(avx2, AVX2, 1, RBE_ISA_SSE41)            /* with FMA and F16C */                        \
    DO(avx512, AVX512, 2, RBE_ISA_AVX2)         /* F, BW, DQ, VL */                            \
    DO(vnni, VNNI, 3, RBE_ISA_AVX512)           /* AVX512_VNNI */                              \
    DO(vbmi2, VBMI2, 4, RBE_ISA_AVX512)         /* AVX512_VBMI, AVX512_VBMI2 */                \
    DO(neon, NEON, 5, 0)                                                                       \
    DO(dotprod, DOTPROD, 6, RBE_ISA_NEON)       /* Armv8.2 dot product */                      \
    DO(avxvnni, AVXVNNI, 7, RBE_ISA_AVX2)       /* AVX_VNNI: VNNI without AVX-512 */

enum {
#define RBE_ISA_BIT(name, NAME, number, needs) RBE_ISA_##NAME = 1 << (number),
    RBE_EACH_ISA(RBE_ISA_BIT)
#undef RBE_ISA_BIT
};

/* A file's last word: the architecture that it is for, the bits that it needs, and what the
 * compiler defines where it has the Makefile's flags. */
#define RBE_WORD_any         ANY, 0, 1
#define RBE_WORD_scalar      ANY, 0, 1
#define RBE_WORD_sse41       X86, RBE_ISA_SSE41, __SSE4_1__
#define RBE_WORD_avx2        X86, RBE_ISA_AVX2, __AVX2__
#define RBE_WORD_avxvnni     X86, RBE_ISA_AVX2 | RBE_ISA_AVXVNNI, __AVXVNNI__
#define RBE_WORD_avx512      X86, RBE_ISA_AVX512, __AVX512BW__
#define RBE_WORD_avx512vnni  X86, RBE_ISA_AVX512 | RBE_ISA_VNNI, __AVX512VNNI__
#define RBE_WORD_avx512vbmi2 X86, RBE_ISA_AVX512 | RBE_ISA_VNNI | RBE_ISA_VBMI2, __AVX512VBMI2__
#define RBE_WORD_neon        ARM, RBE_ISA_NEON, 1
#define RBE_WORD_neondot     ARM, RBE_ISA_NEON | RBE_ISA_DOTPROD, __ARM_FEATURE_DOTPROD

#define RBE_ON_ANY(...) __VA_ARGS__
#ifdef __x86_64__
#define RBE_ON_X86(...) __VA_ARGS__
#else
#define RBE_ON_X86(...)
#endif
#ifdef __aarch64__
#define RBE_ON_ARM(...) __VA_ARGS__
#else
#define RBE_ON_ARM(...)
#endif

/* What follows the word, on its architecture; nothing elsewhere. */
#define RBE_ON(word, ...) RBE_ON_(RBE_WORD_##word, __VA_ARGS__)
#define RBE_ON_(...) RBE_ON__(__VA_ARGS__)
#define RBE_ON__(arch, bits, built, ...) RBE_ON_##arch(__VA_ARGS__)

/* The RBE_ISA_* bits that it needs. */
#define RBE_BITS(word) RBE_BITS_(RBE_WORD_##word)
#define RBE_BITS_(...) RBE_BITS__(__VA_ARGS__)
#define RBE_BITS__(arch, bits, built) (bits)

/* Does not compile without its flags. */
#define RBE_BUILT(word) RBE_BUILT_(RBE_WORD_##word)
#define RBE_BUILT_(...) RBE_BUILT__(__VA_ARGS__)
#define RBE_BUILT__(arch, bits, built)                                                         \
    _Static_assert(built, "the Makefile takes ISA flags from the last word of a file's name")

#endif
