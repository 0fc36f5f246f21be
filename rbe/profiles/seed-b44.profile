name: seed-b44
about: every matrix as seed with B = 44, no rotation
other codec=f16
wpe   codec=f16
all   codec=seed block=44
