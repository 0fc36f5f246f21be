# Strategy 2 of 8.2.2: feed-forward in RBE at 10:1, attention and embeddings standard (f16).
name: hybrid-architecture
about: feed-forward as seed at 10:1, everything else f16
series: parts
other codec=f16
wpe   codec=f16
all   codec=f16
mlp.fc   codec=seed ratio=10 hadamard=max
mlp.proj codec=seed ratio=10 hadamard=max
