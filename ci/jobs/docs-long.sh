#!/usr/bin/env bash
# docs-long.sh - runs the long commands of README and docs/ too, on small settings
#
# SPDX-License-Identifier: MIT
#
# See ci/jobs/docs.sh.  Blocks that are left out, for the network or for a job that runs them
# anyway, are listed with the reason.
set -u
cd "$(dirname "$0")/../.." || exit 2
CI_LONG=1 exec bash ci/jobs/docs.sh
