# Phase 1 of 8.2.2: feed-forward 90 % smaller (10:1), everything else as it was.
name: phase1
about: feed-forward as seed at 10:1, everything else f32
series: parts
other codec=f32
wpe   codec=f32
all   codec=f32
mlp.fc   codec=seed ratio=10 hadamard=max
mlp.proj codec=seed ratio=10 hadamard=max
