name: seed-b64
about: every matrix as seed with B = 64, inputs rotated, the embedding centred
other codec=f16
wpe   codec=f16
all   codec=seed block=64 hadamard=max
wte   codec=seed block=64 hadamard=max center=on
