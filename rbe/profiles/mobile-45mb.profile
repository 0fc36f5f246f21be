# The whole of GPT-2 small in 45 MB: every matrix encoded, the encoder finds B of each.
name: mobile-45mb
about: every matrix as seed within 45 MB of file; the default for GPT-2 small
budget-bytes: 45000000
other codec=f16
wpe   codec=f16
all   codec=seed hadamard=max
wte   center=on
