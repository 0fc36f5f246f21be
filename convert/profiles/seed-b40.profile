name: seed-b40
about: every matrix as seed with B = 40, inputs rotated, the embedding centred
other codec=f16
wpe   codec=f16
all   codec=seed block=40 hadamard=max
wte   codec=seed block=40 hadamard=max center=on
