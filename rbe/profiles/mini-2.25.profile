# The tied embedding is the sensitive tensor: 1.2 to 1.4 bits more than the blocks
# (docs/ENCODER.md).
name: mini-2.25
about: every matrix as seed within 2.25 bits a parameter, file size counted
budget-bits: 2.25
other codec=f16
wpe   codec=int8
all   codec=seed hadamard=max
wte   codec=seed bits=3.2 hadamard=max center=on
