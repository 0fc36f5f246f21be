name: seed-b40
about: every matrix as seed with B = 40, no rotation
other codec=f16
wpe   codec=f16
all   codec=seed block=40
