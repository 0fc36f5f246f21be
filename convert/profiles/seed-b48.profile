name: seed-b48
about: every matrix as seed with B = 48, inputs rotated, the embedding centred
other codec=f16
wpe   codec=f16
all   codec=seed block=48 hadamard=max
wte   codec=seed block=48 hadamard=max center=on
