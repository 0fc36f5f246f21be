/*
 * count.c - a plugin of QEMU's user emulator: how many instructions a program executes.
 *
 * SPDX-License-Identifier: MIT
 *
 *     gcc -shared -fPIC -O2 -o libcount.so deploy/edge/count.c
 *     qemu-aarch64 -d plugin -D FILE -plugin ./libcount.so PROGRAM ARGUMENT...
 *
 * At its end FILE holds 'instructions N threads T'.  The counter is not shared safely: N is
 * right for one thread (T is 1) only.  Debian has QEMU's plugins, but no header for them, so
 * what is used of version 1 of their interface is declared here.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;          /* a run of instructions that the emulator translates at once */
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

typedef void vcpu_cb(qemu_plugin_id_t id, unsigned vcpu);
typedef void tb_cb(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void user_cb(qemu_plugin_id_t id, void *user);

void qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t id, vcpu_cb *cb);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_cb *cb);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb,
                                              enum qemu_plugin_op op, void *to, uint64_t by);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, user_cb *cb, void *user);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
void qemu_plugin_outs(const char *text);

EXPORT extern int qemu_plugin_version;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv);

int qemu_plugin_version = 1;

static uint64_t instructions;
static unsigned threads;

static void started(qemu_plugin_id_t id, unsigned vcpu)
{
    (void)id;
    (void)vcpu;
    threads++;
}

/* Called once for each block; what it registers is added each time that the block runs. */
static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &instructions,
                                             qemu_plugin_tb_n_insns(tb));
}

static void ended(qemu_plugin_id_t id, void *user)
{
    char line[96];

    (void)id;
    (void)user;
    snprintf(line, sizeof line, "instructions %" PRIu64 " threads %u\n", instructions, threads);
    qemu_plugin_outs(line);
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    (void)info;
    (void)argc;
    (void)argv;
    qemu_plugin_register_vcpu_init_cb(id, started);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
