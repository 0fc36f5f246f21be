# Phase 2 of 8.2.2: feed-forward and attention 90 % smaller (10:1).
name: phase2
about: feed-forward and attention as seed at 10:1, everything else f32
series: parts
other codec=f32
wpe   codec=f32
all   codec=seed ratio=10 hadamard=max
wte   codec=f32
