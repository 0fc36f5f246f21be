# gate.mk - what ci/gate.sh adds to a revision's own Makefile: make -f Makefile -f ci/gate.mk
#
# SPDX-License-Identifier: MIT
# PLANT: see ci/gate_worker.c.  The worker is compiled anew each time, so that one with a
# slow-down planted and one without never stand for each other.
ifeq ($(B),)
$(error a Makefile without a build folder B)
endif
gate-programs: $(B)/bin/rbe $(B)/bin/gate-worker
.PHONY: gate-programs FORCE

$(B)/ci/gate_worker.o: FORCE
$(B)/ci/gate_worker.o: CPPFLAGS += $(PLANT)

$(B)/bin/gate-worker: $(B)/ci/gate_worker.o $(B)/librbe.a
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	$(Q)$(CC) $(COMMON) $(LDFLAGS) -o $@ $^ $(LIBS)
