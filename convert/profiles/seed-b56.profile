name: seed-b56
about: every matrix as seed with B = 56, inputs rotated, the embedding centred
other codec=f16
wpe   codec=f16
all   codec=seed block=56 hadamard=max
wte   codec=seed block=56 hadamard=max center=on
