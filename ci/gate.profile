# What ci/gate.sh encodes to compare encoders: little enough for seconds, with calibration, the
# default search, feedback and the rotation.
name: gate
about: a matrix in four by seed, calibrated
metric: fisher
other codec=f16
wte codec=int4
all codec=int8
attn.proj codec=seed block=44 hadamard=max
