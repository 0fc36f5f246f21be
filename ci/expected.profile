# What ci/expected.sh encodes of a piece of rbe-mini: the allocation, the calibration and the
# search of the profiles that ship, at an effort of seconds.
name: expected
about: the allocation on three matrices
budget-bits: 6.4
allocation: measured
metric: fisher
other codec=f16
all codec=int8
wpe codec=int8
attn.qkv codec=seed hadamard=max window=8
attn.proj codec=seed hadamard=max window=8
mlp.fc codec=seed hadamard=max window=8
