name: int8
about: every matrix as int8, groups of 128, round to nearest, norms, biases and positions f16
other codec=f16
wpe   codec=f16
all   codec=int8
