# rbe-bench: one file, no recursion.  `make help` lists the targets.
#
# You own CC CXX CFLAGS LDFLAGS EMULATOR SEED; the project owns FLAGS.

# As many at once as there are CPUs, unless -j says otherwise; a make within a make has its own.
ifeq ($(MAKELEVEL)$(filter -j% --jobserver%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif

.DEFAULT_GOAL := all

CONFIG    ?= release
CC        := $(if $(filter default,$(origin CC)),$(if $(filter fuzz,$(CONFIG)),clang,gcc),$(CC))
CXX       := $(if $(filter default,$(origin CXX)),g++,$(CXX))
BUILDROOT ?= build
# Make takes a blank for the end of a name.  The source itself may stand in a folder with one:
# all names below are relative.
ifneq ($(words $(BUILDROOT)),1)
$(error BUILDROOT '$(BUILDROOT)': a path without blanks, please)
endif
ARCH      := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
B         := $(BUILDROOT)/$(ARCH)-$(CONFIG)
comma     := ,
# For programs that are run from elsewhere; always between quotes.
bin       = $(if $(filter /%,$(B)),,$(CURDIR)/)$(B)/bin
Q         := $(if $(V),,@)
PYTHON    ?= python3

# Where `make install` puts things; DESTDIR stands before all of them.
PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR    ?= $(PREFIX)/share/rbe-bench
MANDIR     ?= $(PREFIX)/share/man
VERSION    := $(shell sed -n 's/^.define RBE_VERSION "\(.*\)"/\1/p' base/version.h)
# Rises when a program linked with the shared library would have to be built again.
SOVERSION  := 2

FLAGS.release := -O2 -g
FLAGS.debug   := -O0 -g
FLAGS.asan    := -O1 -g -fsanitize=address -fno-omit-frame-pointer
FLAGS.ubsan   := -O1 -g -fsanitize=undefined -fno-sanitize-recover=all
FLAGS.tsan    := -O1 -g -fsanitize=thread
# For libFuzzer, which clang has; the macro leaves out what only tells damage from intent.
FLAGS.fuzz    := -O2 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
                 -fno-omit-frame-pointer -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
ifeq ($(FLAGS.$(CONFIG)),)
$(error unknown CONFIG '$(CONFIG)'; valid: release debug asan ubsan tsan fuzz)
endif

# -Wpsabi only notes that vector arguments changed in gcc 4.6; ours are all static inline.
WARN    := -Wall -Wextra -Wshadow -Wvla -Wno-psabi
WARN_C  := -Wmissing-prototypes -Wstrict-prototypes
# Dense products go through oneDNN where it is at hand; DNNL= builds without it.
DNNL    := $(if $(filter undefined,$(origin DNNL)),$(filter x86_64,$(ARCH)),$(DNNL))
# No fast-math anywhere, and no contraction: the scalar reference must round alike on every
# compiler and machine.
# Position-independent throughout, so that one set of objects makes programs and shared library;
# the kernels' instructions are the same without it.
COMMON  := -I. -Iinclude -D_GNU_SOURCE -pthread -fPIC -fno-semantic-interposition \
           -ffp-contract=off -fno-math-errno \
           $(if $(DNNL),-DRBE_HAVE_DNNL) $(FLAGS.$(CONFIG))
FLAGS   := -std=c11 $(WARN) $(WARN_C) $(COMMON)
FLAGSXX := -std=c++17 $(WARN) $(COMMON)

# --- what is compiled ---------------------------------------------------------------------
# Rooms, lowest first (docs/ARCHITECTURE.md).  Every *.c of a room goes into librbe.a, but for
# the programs' mains; bench/ needs Google Benchmark, hwloc and libpfm4, and stays out of it.
x86     := $(if $(filter x86_64,$(ARCH)),$(wildcard kernels/x86/*.c))
arm     := $(if $(filter aarch64,$(ARCH)),$(wildcard kernels/arm/*.c))
kernels := $(wildcard kernels/*.c kernels/format/*.c kernels/scalar/*.c) $(x86) $(arm)
mains   := cli/main.c cli/bench_main.c cli/serve_main.c base/commit.c
ROOMS   := base rbe model grad convert train eval deploy gate datasets reports cli
rooms   := $(filter-out $(mains),$(wildcard $(ROOMS:=/*.c) deploy/serve/*.c))
bench   := $(filter-out $(mains),$(wildcard bench/*.c)) $(wildcard bench/*.cc) \
           $(if $(filter x86_64,$(ARCH)),$(wildcard bench/x86/*.c)) \
           $(if $(filter aarch64,$(ARCH)),$(wildcard bench/arm/*.c))

objs     = $(patsubst %.cc,$(B)/%.o,$(patsubst %.c,$(B)/%.o,$(1)))
kernelobjs := $(call objs,$(kernels))
library := $(call objs,$(kernels) $(rooms))
# What rbe-run is linked from, and no more: for a device a few rooms are compiled, not all.
runcli  := command options paint man cmd_chat cmd_generate eval_edge eval_perplexity \
           eval_sustained eval_worker
runfrom := $(call objs,$(kernels) $(filter base/% rbe/% model/% eval/%,$(rooms)) \
             $(runcli:%=cli/%.c))
# What rbe-run and rbe-serve have in a form of their own.
runobjs := $(patsubst %.c,$(B)/run/%.o,cli/main.c cli/arguments.c cli/cmd_completion.c \
             model/dense.c)
serveobjs := $(B)/cli/serve_main.o $(filter-out %/main.o,$(runobjs))

# What is installed for other programs: include/rbe/, chosen by hand, and what it needs.
publicobjs := $(call objs,$(kernels) $(filter base/% rbe/% model/% deploy/%,\
                $(filter-out deploy/serve/%,$(rooms))))
headers := $(wildcard include/rbe/*.h)
shared  := librbe.so.$(SOVERSION)

tested  := kernels $(ROOMS)
tests   := $(wildcard $(tested:=/test/check_*.c))
benchtests := $(wildcard bench/test/check_*.c)
shtests := $(wildcard $(addsuffix /test/check_*.sh,$(tested) bench ci))
testbins  := $(patsubst %.c,$(B)/%,$(tests))
# The parsers' harnesses: run over their corpora by a test, and by libFuzzer (CONFIG=fuzz).
harnesses := $(filter-out %/check_corpus.c,$(wildcard ci/fuzz/*.c))
corpustest := $(B)/ci/fuzz/check_corpus
MAPS      := -Wl,--wrap=rbe_map_open,--wrap=rbe_map_close,--wrap=rbe_map_forget
kernelbins := $(filter $(B)/kernels/%,$(testbins))
benchbins := $(patsubst %.c,$(B)/%,$(benchtests))
allbins   := $(testbins) $(benchbins) $(corpustest)

# Not among them: what only some commands load (base/library.h), oneDNN, libcrypto, libcurl and
# libedit.
LIBS      := -ljansson -lpopt -lpcre2-8 -lxxhash -ldl -lm
# The leak sanitizer's tracer falls over thread-local memory of libraries that come late.
LATE.asan := $(if $(DNNL),-Wl$(comma)--no-as-needed -ldnnl -lgomp -Wl$(comma)--as-needed)
BENCHLIBS := -lbenchmark -lhwloc -lpfm -lstdc++

# A file's last word names its ISA, and so its flags.
AVX512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c
$(B)/%_sse41.o:       ISA := -msse4.1 -mssse3
$(B)/%_avx2.o:        ISA := -mavx2 -mfma -mf16c
$(B)/%_avxvnni.o:     ISA := -mavx2 -mfma -mf16c -mavxvnni
$(B)/%_avx512.o:      ISA := $(AVX512)
$(B)/%_avx512vnni.o:  ISA := $(AVX512) -mavx512vnni
$(B)/%_avx512vbmi2.o: ISA := $(AVX512) -mavx512vnni -mavx512vbmi -mavx512vbmi2
$(B)/%_avx512bf16.o:  ISA := $(AVX512) -mavx512bf16
$(B)/%_amx.o:         ISA := $(AVX512) -mavx512bf16 -mamx-tile -mamx-bf16
$(B)/%_neondot.o:     ISA := -march=armv8.2-a+dotprod
# Kernels read no files: what they compare, and which of their ways is taken, would tell a
# fuzzer nothing, and counting it takes half of the time.
ifeq ($(CONFIG),fuzz)
$(B)/kernels/x86/%.o: COVERAGE := -fno-sanitize=fuzzer-no-link
$(B)/kernels/arm/%.o: COVERAGE := -fno-sanitize=fuzzer-no-link
$(B)/kernels/%.o:     COVERAGE := -fno-sanitize-coverage=trace-cmp
endif
# Where all is inlined, what tells a debugger of variables takes half of a compilation; places
# and calls remain.  CONFIG=debug has everything.
ifneq ($(CONFIG),debug)
$(B)/kernels/%.o: LIGHT := -g1
endif
# Results say what the program was built with.
built = $(subst ",\",$(strip $(FLAGS) $(CPPFLAGS) $(CFLAGS)))
$(B)/bench/build.o:   BUILT = -DRBE_BUILD_FLAGS='"$(built)"'
$(B)/base/commit.o:    BUILT = -include $(B)/commit.h
$(B)/base/commit.o:    $(B)/commit.h

.PHONY: all programs tests check check-% bench eval report deps fetch clean help FORCE
.PHONY: fuzz libraries man install dist deb static
.SECONDARY:

all: programs                               ## build rbe, rbe-run, rbe-serve and rbe-bench
programs: $(B)/bin/rbe $(B)/bin/rbe-run $(B)/bin/rbe-serve $(B)/bin/rbe-bench

# What is linked is replaced as a whole: another make may use it, or link it too, at the same
# time.
NEW    = $@.$$$$
RENAME = mv -f $(NEW) $@

# The kernels alone need no library but libm: their tests build for any machine.
# Archives that stay here are thin, lists of the objects beside them.
$(B)/librbe-kernels.a: $(kernelobjs)
$(B)/librbe.a: $(library)
$(B)/librun.a: $(runfrom)
$(B)/librbe-kernels.a $(B)/librbe.a $(B)/librun.a:
	@echo '  AR    $@'
	$(Q)ar rcsT $(NEW) $^ && $(RENAME)

$(B)/bin/rbe: $(B)/cli/main.o $(B)/base/commit.o $(B)/librbe.a
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	$(Q)$(CC) $(COMMON) $(LDFLAGS) -o $(NEW) $^ $(LATE.$(CONFIG)) $(LIBS) && $(RENAME)

# The small one for devices: what it uses beyond libc is inside, and oneDNN is left out.
$(runobjs): $(B)/run/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	@echo '  CC    $< (rbe-run)'
	$(Q)$(CC) $(FLAGS) $(CPPFLAGS) $(CFLAGS) -DRBE_RUN -URBE_HAVE_DNNL -MMD -MP -c -o $@ $<

$(B)/bin/rbe-run: $(runobjs) $(B)/base/commit.o $(B)/librun.a
$(B)/bin/rbe-serve: $(serveobjs) $(B)/base/commit.o $(B)/librbe.a
$(B)/bin/rbe-run $(B)/bin/rbe-serve:
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	$(Q)$(CC) $(COMMON) $(LDFLAGS) -o $(NEW) $(filter %.o,$^) $(filter %.a,$^) \
	    -Wl,-Bstatic $(filter-out -ldl -lm,$(LIBS)) -Wl,-Bdynamic -ldl -lm && $(RENAME)

# The same for any system of the processor's kind, libc inside.
$(B)/run/static/base/library.o: base/library.c $(B)/flags
	@mkdir -p $(@D)
	@echo '  CC    $< (static)'
	$(Q)$(CC) $(FLAGS) $(CPPFLAGS) $(CFLAGS) -DRBE_STATIC -c -o $@ $<

$(B)/bin/rbe-run-static: $(runobjs) $(B)/run/static/base/library.o $(B)/base/commit.o \
    $(B)/librun.a
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	$(Q)$(CC) $(COMMON) $(LDFLAGS) -static -o $(NEW) $^ $(filter-out -ldl,$(LIBS)) && $(RENAME)

static: $(B)/bin/rbe-run-static             ## build rbe-run-static, for a device (CC=...)

$(B)/bin/rbe-bench: $(B)/cli/bench_main.o $(B)/base/commit.o $(call objs,$(bench)) $(B)/librbe.a
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	$(Q)$(CXX) $(COMMON) $(LDFLAGS) -o $(NEW) $^ $(LATE.$(CONFIG)) $(LIBS) $(BENCHLIBS) && \
	    $(RENAME)

$(kernelbins): $(B)/%: $(B)/%.o $(B)/librbe-kernels.a
	@echo '  LINK  $@'
	$(Q)$(CC) $(COMMON) $(LDFLAGS) -o $@ $^ -lm

$(filter-out $(kernelbins),$(testbins)): $(B)/%: $(B)/%.o $(B)/librbe.a
	@echo '  LINK  $@'
	$(Q)$(CC) $(COMMON) $(LDFLAGS) -o $@ $^ $(LATE.$(CONFIG)) $(LIBS)

$(corpustest): $(B)/ci/fuzz/check_corpus.o $(call objs,$(harnesses)) $(B)/librbe.a
	@echo '  LINK  $@'
	$(Q)$(CC) $(COMMON) $(LDFLAGS) $(MAPS) -o $@ $^ $(LIBS)

$(B)/bin/rbe-fuzz: $(call objs,$(harnesses)) $(B)/librbe.a
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	$(Q)$(CC) $(COMMON) -fsanitize=fuzzer $(LDFLAGS) $(MAPS) -o $@ $^ $(LIBS)

$(benchbins): $(B)/%: $(B)/%.o $(call objs,$(bench)) $(B)/librbe.a
	@echo '  LINK  $@'
	$(Q)$(CXX) $(COMMON) $(LDFLAGS) -o $(NEW) $^ $(LATE.$(CONFIG)) $(LIBS) $(BENCHLIBS) && \
	    $(RENAME)

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) $(FLAGS) $(LIGHT) $(CPPFLAGS) $(CFLAGS) $(COVERAGE) $(ISA) $(BUILT) -MMD -MP -c \
	    -o $@ $<

$(B)/%.o: %.cc $(B)/flags
	@mkdir -p $(@D)
	@echo '  CXX   $<'
	$(Q)$(CXX) $(FLAGSXX) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c -o $@ $<

# Rebuild when the command line changed, not only when a file did.
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CXX) $(FLAGS) $(CPPFLAGS) $(CFLAGS) $(CXXFLAGS) $(LDFLAGS)' | cmp -s - $@ || \
	 echo '$(CC) $(CXX) $(FLAGS) $(CPPFLAGS) $(CFLAGS) $(CXXFLAGS) $(LDFLAGS)' > $@

# The programs alone carry it: a commit builds one file anew, and links no test.
$(B)/commit.h: FORCE
	@mkdir -p $(@D)
	@c=$$(scripts/commit.sh); echo "#define RBE_COMMIT \"$$c\"" | cmp -s - $@ || \
	 echo "#define RBE_COMMIT \"$$c\"" > $@

# --- installing ---------------------------------------------------------------------------
LIBRARYLIBS := -ljansson -lxxhash -ldl -lm

$(B)/lib/librbe.a: $(publicobjs)
	@mkdir -p $(@D)
	@echo '  AR    $@'
	$(Q)ar rcs $(NEW) $^ && $(RENAME)

$(B)/lib/librbe.map: $(B)/lib/librbe.a $(headers) scripts/symbols.sh
	$(Q)scripts/symbols.sh RBE_$(SOVERSION) $< $(headers) > $@.tmp && mv $@.tmp $@

$(B)/lib/$(shared): $(B)/lib/librbe.map $(publicobjs)
	@echo '  LINK  $@'
	$(Q)$(CC) $(COMMON) $(LDFLAGS) -shared -Wl,-z,defs -Wl,-soname,$(shared) \
	    -Wl,--version-script=$< -o $@ $(publicobjs) $(LIBRARYLIBS)

libraries: $(B)/lib/librbe.a $(B)/lib/$(shared) ## build librbe, static and shared

man: programs                               ## make the manual pages from --help
	$(Q)scripts/manpages.sh '$(bin)' $(B)/man

define pkgconfig
prefix=$(PREFIX)
libdir=$(LIBDIR)
includedir=$(INCLUDEDIR)

Name: librbe
Description: GPT-2 in Riemannian Basis Encoding: kernels, encoders, runtime
Version: $(VERSION)
Requires.private: jansson libxxhash
Libs: -L$${libdir} -lrbe
Libs.private: -ldl -lm -pthread
Cflags: -I$${includedir}
endef
export pkgconfig

to := $(DESTDIR)
install: programs libraries man             ## programs, library, data (DESTDIR, PREFIX)
	$(Q)install -d '$(to)$(BINDIR)' '$(to)$(LIBDIR)/pkgconfig' '$(to)$(MANDIR)/man1' \
	    '$(to)$(INCLUDEDIR)/rbe' \
	    '$(to)$(DATADIR)/profiles' '$(to)$(DATADIR)/tune' '$(to)$(DATADIR)/plots' \
	    '$(to)$(DATADIR)/recorded'
	$(Q)install $(B)/bin/rbe $(B)/bin/rbe-run $(B)/bin/rbe-serve $(B)/bin/rbe-bench \
	    '$(to)$(BINDIR)'
	$(Q)install scripts/report.sh '$(to)$(BINDIR)/rbe-measure'
	$(Q)install bench/plots.sh '$(to)$(BINDIR)/rbe-bench-plots'
	$(Q)install -m 644 $(B)/lib/librbe.a $(B)/lib/$(shared) '$(to)$(LIBDIR)'
	$(Q)ln -sf $(shared) '$(to)$(LIBDIR)/librbe.so'
	$(Q)echo "$$pkgconfig" > '$(to)$(LIBDIR)/pkgconfig/librbe.pc'
	$(Q)install -m 644 $(headers) '$(to)$(INCLUDEDIR)/rbe'
	$(Q)(cd datasets/embedded && find . -type f) | while read -r f; do \
	    install -D -m 644 "datasets/embedded/$$f" '$(to)$(DATADIR)'/"$$f" || exit 1; done
	$(Q)install -m 644 datasets/MANIFEST '$(to)$(DATADIR)'
	$(Q)install -m 644 convert/profiles/*.profile '$(to)$(DATADIR)/profiles'
	$(Q)install -m 644 train/profiles/*.profile '$(to)$(DATADIR)/tune'
	$(Q)install -m 644 reports/plots/*.gp '$(to)$(DATADIR)/plots'
	$(Q)install -m 644 reports/recorded/*.jsonl '$(to)$(DATADIR)/recorded'
	$(Q)install -m 644 $(B)/man/*.1 '$(to)$(MANDIR)/man1'
	$(Q)install -d '$(to)$(PREFIX)/share/bash-completion/completions' \
	    '$(to)$(PREFIX)/share/zsh/site-functions'
	$(Q)cd '$(to)$(PREFIX)/share' && for p in rbe rbe-run; do \
	    '$(abspath $(B))'/bin/$$p completion bash > bash-completion/completions/$$p && \
	    '$(abspath $(B))'/bin/$$p completion zsh > zsh/site-functions/_$$p || exit 1; done
	$(Q)for p in rbe-bench rbe-serve; do \
	    ln -sf rbe '$(to)$(PREFIX)'/share/bash-completion/completions/$$p || exit 1; done

dist:                                       ## a source archive of the commit checked out
	$(Q)BUILDROOT=$(BUILDROOT) scripts/dist.sh $(VERSION)

deb:                                        ## Debian packages, into BUILDROOT/deb
	$(Q)BUILDROOT=$(BUILDROOT) scripts/deb.sh $(VERSION)

# --- tests --------------------------------------------------------------------------------
tests: $(allbins)                           ## build the test programs
	@:

check: $(allbins) programs                  ## run every test; the last line counts them
	$(Q)EMULATOR='$(EMULATOR)' SEED='$(SEED)' RBE_BIN='$(bin)' \
	    scripts/run-tests.sh $(B)/check.log $(shtests) $(allbins)

fuzz:                                       ## build the harnesses for libFuzzer (clang)
	$(Q)$(MAKE) --no-print-directory CONFIG=fuzz $(BUILDROOT)/$(ARCH)-fuzz/bin/rbe-fuzz

# make check-kernels, check-rbe, check-model, ...: one room's tests.
# The kernels' tests need no program and no library.
check-kernels: $(kernelbins)
	$(Q)EMULATOR='$(EMULATOR)' SEED='$(SEED)' \
	    scripts/run-tests.sh $(B)/check-kernels.log $(kernelbins)

check-%: programs
	$(Q)$(MAKE) --no-print-directory $(filter $(B)/$*/%,$(testbins) $(benchbins))
	$(Q)EMULATOR='$(EMULATOR)' SEED='$(SEED)' RBE_BIN='$(bin)' \
	    scripts/run-tests.sh $(B)/check-$*.log \
	    $(filter $(B)/$*/%,$(testbins) $(benchbins)) $(filter $*/%,$(shtests))

eval: programs                              ## f32 against RBE: results/eval.jsonl
	$(Q)RBE_BIN='$(bin)' scripts/evaluate.sh

report: programs                            ## convert, measure, judge: results/report/
	$(Q)RBE_BIN='$(bin)' scripts/report.sh

fetch: $(B)/bin/rbe                         ## get GPT-2 and the data sets (FROM=mirror)
	$(Q)$< fetch $(if $(FROM),--from "$(FROM)") $(FETCH)

bench: check-bench                          ## measure the kernels into results/bench.json
	@mkdir -p results
	$(Q)$(B)/bin/rbe-bench --out results/bench.json --tsv results/bench.tsv \
	    --svg results/topology.svg $(BENCHFLAGS)
	$(Q)bench/plots.sh results/bench.tsv results/plots

deps:                                       ## install the libraries and tools this needs
	$(Q)scripts/deps.sh

clean:                                      ## remove what was built
	rm -rf $(BUILDROOT)

help:                                       ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
	 awk -F'|' '{printf "%-12s %s\n", $$1, $$2}'

-include $(patsubst %.o,%.d,$(runobjs) $(library) $(call objs,$(bench) $(mains)) \
                              $(testbins:=.o) $(benchbins:=.o) $(corpustest:=.o) \
                              $(call objs,$(harnesses)))
