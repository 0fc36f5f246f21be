# Which matrix, and which rows of the embedding, get how many bits is measured for the model at
# hand (docs/ENCODER.md).
name: mini-3.25
about: every matrix as seed within 3.25 bits a parameter, file size counted
budget-bits: 3.25
allocation: measured
metric: fisher
compensate: 32768
other codec=f16
wpe   codec=int8
all   codec=seed hadamard=max
wte   codec=seed hadamard=max center=on
