# mobile-45mb for a model of any size: 45 MB for 124,439,808 parameters are 2.893 bits each.
# The tied embedding is the sensitive tensor: 1.2 to 1.4 bits more than the blocks
# (docs/ENCODER.md).
name: mini-2.89
about: every matrix as seed within 2.89 bits a parameter, file size counted
budget-bits: 2.89
other codec=f16
wpe   codec=int8
all   codec=seed hadamard=max
wte   codec=seed bits=3.9 hadamard=max center=on
