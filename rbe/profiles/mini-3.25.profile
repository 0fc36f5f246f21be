# The tied embedding is the sensitive tensor: 1.2 to 1.4 bits more than the blocks
# (docs/ENCODER.md).
name: mini-3.25
about: every matrix as seed within 3.25 bits a parameter, file size counted
budget-bits: 3.25
other codec=f16
wpe   codec=int8
all   codec=seed hadamard=max
wte   codec=seed bits=4.3 hadamard=max center=on
