name: seed-b44
about: every matrix as seed with B = 44, inputs rotated, the embedding centred
other codec=f16
wpe   codec=f16
all   codec=seed block=44 hadamard=max
wte   codec=seed block=44 hadamard=max center=on
