name: seed-b64
about: every matrix as seed with B = 64, no rotation
other codec=f16
wpe   codec=f16
all   codec=seed block=64
