name: seedg-b44
about: every matrix as seedg with B = 44, inputs rotated, the embedding centred
other codec=f16
wpe   codec=f16
all   codec=seedg block=44 hadamard=max
wte   codec=seedg block=44 hadamard=max center=on
