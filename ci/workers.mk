# workers.mk - builds the workers of ci/jobs/tokens.sh and twin.sh: make -f Makefile -f ci/workers.mk
#
# SPDX-License-Identifier: MIT
$(B)/bin/%-worker: $(B)/ci/%_worker.o $(B)/librbe.a
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	$(Q)$(CC) $(COMMON) $(LDFLAGS) -o $@ $^ $(LIBS)
