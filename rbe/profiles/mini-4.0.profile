# The tied embedding is the sensitive tensor: 1.2 to 1.4 bits more than the blocks
# (docs/ENCODER.md).
name: mini-4.0
about: every matrix as seed within 4 bits a parameter, file size counted
budget-bits: 4
other codec=f16
wpe   codec=int8
all   codec=seed hadamard=max
wte   codec=seed bits=5 hadamard=max center=on
