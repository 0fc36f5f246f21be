name: seed-b56
about: every matrix as seed with B = 56, no rotation
other codec=f16
wpe   codec=f16
all   codec=seed block=56
