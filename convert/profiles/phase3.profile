# Phase 3 of 8.2.2: feed-forward, attention and the tied embedding 90 % smaller (10:1).
name: phase3
about: every matrix as seed at 10:1, norms, biases and positions f32
series: parts
other codec=f32
wpe   codec=f32
all   codec=seed ratio=10 hadamard=max
wte   center=on
