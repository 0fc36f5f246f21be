name: int4
about: every matrix as int4, groups of 32, round to nearest, norms, biases and positions f16
other codec=f16
wpe   codec=f16
all   codec=int4
