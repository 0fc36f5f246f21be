name: seed-b32
about: every matrix as seed with B = 32, no rotation
other codec=f16
wpe   codec=f16
all   codec=seed block=32
