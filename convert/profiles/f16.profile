name: f16
about: every matrix as f16, norms, biases and positions f16
other codec=f16
wpe   codec=f16
all   codec=f16
