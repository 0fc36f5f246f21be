name: seed-b32
about: every matrix as seed with B = 32, inputs rotated, the embedding centred
other codec=f16
wpe   codec=f16
all   codec=seed block=32 hadamard=max
wte   codec=seed block=32 hadamard=max center=on
