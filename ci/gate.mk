# gate.mk - what ci/gate.sh adds to a revision's own Makefile: make -f Makefile -f ci/gate.mk
#
# SPDX-License-Identifier: MIT
# PLANT: see ci/gate_worker.c.
ifeq ($(B),)
$(error a Makefile without a build folder B)
endif
gate-programs: $(B)/bin/rbe $(B)/bin/gate-worker
.PHONY: gate-programs

$(B)/ci/gate_worker.o: CPPFLAGS += $(PLANT)

$(B)/bin/gate-worker: $(B)/ci/gate_worker.o $(B)/librbe.a
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	$(Q)$(CC) $(COMMON) $(LDFLAGS) -o $@ $^ $(LIBS)
