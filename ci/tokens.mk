# tokens.mk - builds the worker of ci/jobs/tokens.sh: make -f Makefile -f ci/tokens.mk
#
# SPDX-License-Identifier: MIT
$(B)/bin/tokens-worker: $(B)/ci/tokens_worker.o $(B)/librbe.a
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	$(Q)$(CC) $(COMMON) $(LDFLAGS) -o $@ $^ $(LIBS)
